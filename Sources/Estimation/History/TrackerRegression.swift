/// How what is known of a prompt becomes its value (method section 15): an online logistic regression with three weights,
///
///     V = 1 / (1 + exp(-w x)),   x = (1, l, l_slow - l),   l = logit of a discounted mean with the level worth one rollout,
///
/// by one Newton step a batch with forgetting and a ridge towards w = (0, 1, 0), which takes the mean as it is. It needs no
/// second rollout of a prompt: each visit says how well the ones before foretold it.
struct TrackerRegression {
    private(set) var weights = Three(0, 1, 0)
    /// H: discounted sum of k V (1 - V) x x', and the ridge.
    private(set) var information = Six(ridge, 0, 0, ridge, 0, ridge)

    /// The rows of 1, first and second.
    struct Three {
        var a, b, c: Double

        @inline(__always)
        init(_ a: Double, _ b: Double, _ c: Double) { (self.a, self.b, self.c) = (a, b, c) }

        var largest: Double { max(a.magnitude, max(b.magnitude, c.magnitude)) }

        /// False with NaN.
        func isWithin(_ limit: Double) -> Bool {
            a.magnitude <= limit && b.magnitude <= limit && c.magnitude <= limit
        }
    }

    /// A symmetric matrix of three rows.
    struct Six {
        var aa, ab, ac, bb, bc, cc: Double

        init(_ aa: Double, _ ab: Double, _ ac: Double, _ bb: Double, _ bc: Double, _ cc: Double) {
            (self.aa, self.ab, self.ac, self.bb, self.bc, self.cc) = (aa, ab, ac, bb, bc, cc)
        }
    }

    /// What the first guess of the weights is worth.
    static var ridge: Double { 10 }
    /// No mean is believed to be nearer to an end than this.
    private static var nearest: Double { 0.005 }
    /// Nor any value, so that no rewards are impossible.
    private static var nearestValue: Double { 1e-6 }
    /// No weight moves further in a step, nor goes beyond this.
    private static var longestStep: Double { 1 }
    private static var largestWeight: Double { 1000 }

    init() {}

    /// Logits of two probabilities.
    @inline(__always)
    private static func logits(_ probability: SIMD2<Double>) -> SIMD2<Double> {
        let low = SIMD2<Double>(repeating: nearest)
        let p = probability.replacing(with: low, where: probability .< low)
            .replacing(with: 1 - low, where: probability .> 1 - low)
        return logarithms(p / (1 - p))
    }

    /// The second and third of the features of a prompt: of its two means, or of a prior of its own in place of the first.
    @inline(__always)
    static func features(_ entry: HistoryTable.Entry, prior: Double, level: Double) -> SIMD2<Double> {
        let sums = SIMD2(entry.successes, entry.slowSuccesses) + SIMD2(repeating: level)
        var means = sums / (SIMD2(entry.strength, entry.slowStrength) + 1)
        if !prior.isNaN { means[0] = prior }
        // Without any level there is no slow mean.
        if means[1].isNaN { means[1] = means[0] }
        let logit = logits(means)
        return SIMD2(logit[0], logit[1] - logit[0])
    }

    @inline(__always)
    func value(_ features: SIMD2<Double>) -> Double {
        let score = weights.a + weights.b * features[0] + weights.c * features[1]
        return TrackerRegression.possible(1 / (1 + exponentials(SIMD2(repeating: -score))[0]))
    }

    @inline(__always)
    static func possible(_ value: Double) -> Double { max(nearestValue, min(value, 1 - nearestValue)) }

    /// Adds to the sums of a batch a prompt of the value `value` with `successes` in `count` rollouts.
    @inline(__always)
    static func add(
        _ features: SIMD2<Double>, value: Double, successes: Double, count: Double, to sums: TrackerSums
    ) {
        let curvature = count * value * (1 - value)
        let error = successes - count * value
        let (first, second) = (features[0], features[1])
        sums.add(TrackerSums.information, curvature * SIMD2(1, first))
        sums.add(TrackerSums.information &+ 1, curvature * SIMD2(second, first * first))
        sums.add(TrackerSums.information &+ 2, curvature * SIMD2(first * second, second * second))
        sums.add(TrackerSums.gradient, error * SIMD2(1, first))
        sums.add(TrackerSums.gradient &+ 1, SIMD2(error * second, 0))
    }

    /// One Newton step.
    mutating func learn(_ sums: TrackerSums, forgetting: Double) {
        let ridge = (1 - forgetting) * TrackerRegression.ridge
        let (first, second, third) = (
            sums.value(TrackerSums.information), sums.value(TrackerSums.information &+ 1),
            sums.value(TrackerSums.information &+ 2)
        )
        let h = information
        information = Six(
            forgetting * h.aa + first[0] + ridge, forgetting * h.ab + first[1], forgetting * h.ac + second[0],
            forgetting * h.bb + second[1] + ridge, forgetting * h.bc + third[0], forgetting * h.cc + third[1] + ridge)
        let gradient = sums.value(TrackerSums.gradient)
        let step = TrackerRegression.solve(
            information,
            Three(
                gradient[0] - ridge * weights.a, gradient[1] - ridge * (weights.b - 1),
                sums.value(TrackerSums.gradient &+ 1)[0] - ridge * weights.c))
        move(by: step)
    }

    private mutating func move(by step: Three) {
        if !step.isWithin(.greatestFiniteMagnitude) { return }
        let part = 1 / max(1, step.largest / TrackerRegression.longestStep)
        weights = Three(
            TrackerRegression.kept(weights.a + part * step.a), TrackerRegression.kept(weights.b + part * step.b),
            TrackerRegression.kept(weights.c + part * step.c))
    }

    private static func kept(_ weight: Double) -> Double { max(-largestWeight, min(weight, largestWeight)) }

    /// x of h x = y by Cholesky's decomposition; NaN where h is not positive definite.
    private static func solve(_ h: Six, _ y: Three) -> Three {
        let aa = h.aa.squareRoot()
        let (ab, ac) = (h.ab / aa, h.ac / aa)
        let bb = (h.bb - ab * ab).squareRoot()
        let bc = (h.bc - ab * ac) / bb
        let cc = (h.cc - ac * ac - bc * bc).squareRoot()
        let first = y.a / aa
        let second = (y.b - ab * first) / bb
        let c = (y.c - ac * first - bc * second) / cc / cc
        let b = (second - bc * c) / bb
        return Three((first - ab * b - ac * c) / aa, b, c)
    }

    /// As if the visits of both had been learnt here: each is worth its own information, and the first guess once.
    mutating func merge(_ other: TrackerRegression) {
        let (h, g) = (information, other.information)
        let ridge = TrackerRegression.ridge
        let (u, v) = (weights, other.weights)
        let sum = Six(
            h.aa + (g.aa - ridge), h.ab + g.ab, h.ac + g.ac, h.bb + (g.bb - ridge), h.bc + g.bc, h.cc + (g.cc - ridge))
        let found = TrackerRegression.solve(
            sum,
            Three(
                (h.aa * u.a + h.ab * u.b + h.ac * u.c) + (g.aa * v.a + g.ab * v.b + g.ac * v.c),
                (h.ab * u.a + h.bb * u.b + h.bc * u.c) + (g.ab * v.a + g.bb * v.b + g.bc * v.c) - ridge,
                (h.ac * u.a + h.bc * u.b + h.cc * u.c) + (g.ac * v.a + g.bc * v.b + g.cc * v.c)))
        if !found.isWithin(.greatestFiniteMagnitude) { return }
        information = sum
        weights = Three(
            TrackerRegression.kept(found.a), TrackerRegression.kept(found.b), TrackerRegression.kept(found.c))
    }

    /// Bytes of `write`.
    static var savedSize: Int { 72 }

    func write(to writer: inout CheckpointWriter) {
        writer.write(weights.a)
        writer.write(weights.b)
        writer.write(weights.c)
        writer.write(information.aa)
        writer.write(information.ab)
        writer.write(information.ac)
        writer.write(information.bb)
        writer.write(information.bc)
        writer.write(information.cc)
    }

    init(from reader: inout CheckpointReader) throws(Failure) {
        weights = Three(reader.readDouble(), reader.readDouble(), reader.readDouble())
        information = Six(
            reader.readDouble(), reader.readDouble(), reader.readDouble(), reader.readDouble(), reader.readDouble(),
            reader.readDouble())
        let probe = TrackerRegression.solve(information, Three(1, 1, 1))
        guard
            weights.isWithin(TrackerRegression.largestWeight) && probe.isWithin(.greatestFiniteMagnitude)
                && Three(information.aa, information.bb, information.cc).isWithin(1e100)
        else { throw Failure(.checkpointCorrupted, "checkpoint must hold a regression that can be") }
    }
}
