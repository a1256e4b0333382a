/// How far rewards have been from what a tracker foretold, discounted by batches: what makes a calibration of it, from single
/// rollouts too.
struct TrackerErrors {
    /// Sum of (r - V)^2 with rewards as fractions of the interval, and the rollouts that it is of.
    private var squares = 0.0
    private var rollouts = 0.0
    /// Prompts, known and new.
    private var known = 0.0
    private var new = 0.0

    init() {}

    mutating func learn(squares: Double, rollouts: Double, known: Int, new: Int, forgetting: Double) {
        self.squares = forgetting * self.squares + squares
        self.rollouts = forgetting * self.rollouts + rollouts
        self.known = forgetting * self.known + Double(known)
        self.new = forgetting * self.new + Double(new)
    }

    mutating func merge(_ other: TrackerErrors) {
        squares += other.squares
        rollouts += other.rollouts
        known += other.known
        new += other.new
    }

    /// The values as priors that need no line through them. Of the variance of a reward around V the part that the strengths
    /// give is that of the true value.
    func calibration(_ strengths: TrackerStrengths, level: Double, interval: Interval) -> Calibration {
        let width = interval.high - interval.low
        let groups = known + new
        var found = Calibration.empty
        found.slope = 1
        if level.isNaN || groups <= 0 || rollouts <= 0 { return found }
        let ofNew = strengths.new.spread()
        let part = (known * strengths.known.spread() + new * ofNew) / groups
        let variance = squares / rollouts * width * width
        found.priorVariance = part * variance
        found.rewardVariance = (1 - part) * variance
        found.grandMean = interval.low + width * level
        found.betweenVariance = ofNew * level * (1 - level) * width * width
        found.groups = groups
        found.totalGroups = groups
        return found
    }

    /// Bytes of `write`.
    static var savedSize: Int { 32 }

    func write(to writer: inout CheckpointWriter) {
        writer.write(squares)
        writer.write(rollouts)
        writer.write(known)
        writer.write(new)
    }

    init(from reader: inout CheckpointReader) throws(Failure) {
        squares = reader.readDouble()
        rollouts = reader.readDouble()
        known = reader.readDouble()
        new = reader.readDouble()
        let smallest = min(min(squares, rollouts), min(known, new))
        let largest = max(max(squares, rollouts), max(known, new))
        let hasNaN = squares.isNaN || rollouts.isNaN || known.isNaN || new.isNaN
        guard !hasNaN && smallest >= 0 && largest <= 1e100 && squares <= 1.01 * rollouts else {
            throw Failure(.checkpointCorrupted, "checkpoint must hold sums of errors that can be")
        }
    }
}
