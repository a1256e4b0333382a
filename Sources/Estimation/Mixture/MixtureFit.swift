/// Fits the weights of a mixture to the groups of a batch by expectation-maximisation (Dempster, Laird and Rubin 1977):
/// the likelihood is concave in the weights, so that there is one optimum.
struct MixtureFit {
    private static var iterations: Int { 40 }
    /// Groups at a time: their likelihoods stay in the first cache, and a component's sums in registers meanwhile.
    private static var block: Int { 32 }
    /// Weights, sums of the coarse and of the fine pieces, and a number for each group of a block.
    private static var scratchCount: Int { 3 &* MixtureComponents.withPrior &+ block }

    private let summaries: UnsafePointer<GroupSummary>
    private let groupCount: Int
    private let interval: Interval
    private let likelihoods: UnsafeMutablePointer<SIMD2<Double>>
    private let scratch: UnsafeMutablePointer<SIMD2<Double>>
    private let shared: SharedLikelihoods

    static func workspaceSize(groupCount: Int) -> Int {
        Workspace.size(of: SIMD2<Double>.self, count: MixtureComponents.withPrior &* groupCount)
            &+ Workspace.size(of: SIMD2<Double>.self, count: scratchCount)
            &+ Workspace.size(of: SIMD2<Double>.self, count: SharedLikelihoods.count)
    }

    init(_ summary: BatchSummary, workspace: inout Workspace) throws(Failure) {
        summaries = UnsafePointer(summary.groups)
        groupCount = summary.grouping.groupCount
        interval = summary.options.interval
        likelihoods = try workspace.take(SIMD2<Double>.self, count: MixtureComponents.withPrior &* groupCount)
        scratch = try workspace.take(SIMD2<Double>.self, count: MixtureFit.scratchCount)
        shared = SharedLikelihoods(
            in: try workspace.take(SIMD2<Double>.self, count: SharedLikelihoods.count))
    }

    func mixture(_ calibration: Calibration) -> Mixture {
        Mixture(calibration: calibration, counts: counts(calibration, earlier: MixtureNumbers()))
    }

    /// The expected number of groups that each component accounts for, `earlier` ones added.
    func counts(_ calibration: Calibration, earlier: MixtureNumbers) -> MixtureNumbers {
        var counts = earlier
        counts.withMutablePairs { result in
            // Groups with a prior first, since the others take part in the last step only.
            let known = fill(0, calibration, withPrior: true)
            let all = fill(known, calibration, withPrior: false)
            let pairs = MixtureComponents.pairs
            let withPrior = MixtureComponents.withPrior
            maximise(result, likelihoods, groups: known, pairs: withPrior)
            maximise(result + withPrior, likelihoods + (withPrior &- pairs), groups: all, pairs: pairs)
        }
        return counts
    }

    /// Likelihoods of the groups with rewards that have a prior, or of those that have none, from `start` on.
    private func fill(_ start: Int, _ calibration: Calibration, withPrior: Bool) -> Int {
        var used = start
        var group = 0
        while group < groupCount {
            let summary = summaries[group]
            if summary.count > 0 && summary.prior.value.isNaN != withPrior {
                MixtureComponents(calibration, prior: summary.prior.value, interval: interval).likelihoods(
                    successes: summary.successes, failures: summary.count &- summary.successes,
                    into: likelihoods + used &* MixtureComponents.withPrior, shared: shared)
                used &+= 1
            }
            group &+= 1
        }
        return used
    }

    /// Adds the groups to the counts of their components. Starts from the weights that the earlier counts amount to.
    ///
    /// The sum of the shares must not depend on the order of the groups: it is that of `ReproducibleSum`, whose pieces are
    /// added here as whole numbers. A cut plus a piece is a number whose last bit is the unit of the pieces, so that the sum
    /// of the bits says the sum of the pieces.
    @_optimize(speed)
    private func maximise(
        _ counts: UnsafeMutablePointer<SIMD2<Double>>, _ likelihoods: UnsafePointer<SIMD2<Double>>, groups: Int,
        pairs: Int
    ) {
        let weights = scratch
        let high = UnsafeMutableRawPointer(scratch + MixtureComponents.withPrior).assumingMemoryBound(
            to: SIMD2<UInt64>.self)
        let low = high + MixtureComponents.withPrior
        let scales = scratch + 3 &* MixtureComponents.withPrior
        let cuts = ReproducibleSum(count: groups, largest: 2)
        let firstCut = SIMD2(repeating: cuts.firstCut)
        let secondCut = SIMD2(repeating: cuts.secondCut)
        var iteration = 0
        while iteration <= MixtureFit.iterations {
            // Weights need not sum to 1 here: a group's shares are divided by their sum.
            var pair = 0
            while pair < pairs {
                let found =
                    iteration == 0
                    ? SIMD2<Double>(repeating: 0)
                    : MixtureFit.sum(high[pair], of: cuts.firstCut, count: groups)
                        + MixtureFit.sum(low[pair], of: cuts.secondCut, count: groups)
                weights[pair] = counts[pair] + found + Mixture.pseudoCount
                if iteration == MixtureFit.iterations { counts[pair] += found }
                high[pair] = SIMD2(repeating: 0)
                low[pair] = SIMD2(repeating: 0)
                pair &+= 1
            }
            if iteration == MixtureFit.iterations { return }
            var start = 0
            while start < groups {
                let block = min(MixtureFit.block, groups &- start)
                let first = likelihoods + start &* MixtureComponents.withPrior
                // Two groups at a time: a division for both, and neither waits for the other's sum.
                var group = 0
                while group < block {
                    let likelihood = first + group &* MixtureComponents.withPrior
                    let next = group &+ 1 < block ? likelihood + MixtureComponents.withPrior : likelihood
                    var total = SIMD2<Double>(repeating: 0)
                    var nextTotal = SIMD2<Double>(repeating: 0)
                    pair = 0
                    while pair < pairs {
                        total += weights[pair] * likelihood[pair]
                        nextTotal += weights[pair] * next[pair]
                        pair &+= 1
                    }
                    let scale = 1 / SIMD2(total[0] + total[1], nextTotal[0] + nextTotal[1])
                    scales[group] = SIMD2(repeating: scale[0])
                    scales[group &+ 1] = SIMD2(repeating: scale[1])
                    group &+= 2
                }
                var likelihood = first
                pair = 0
                while pair < pairs {
                    let weight = weights[pair]
                    var coarseSum = high[pair]
                    var fineSum = low[pair]
                    likelihood = first + pair
                    group = 0
                    while group < block {
                        let share = weight * likelihood.pointee * scales[group]
                        let coarse = share + firstCut
                        let fine = (share - (coarse - firstCut)) + secondCut
                        coarseSum &+= unsafeBitCast(coarse, to: SIMD2<UInt64>.self)
                        fineSum &+= unsafeBitCast(fine, to: SIMD2<UInt64>.self)
                        likelihood += MixtureComponents.withPrior
                        group &+= 1
                    }
                    high[pair] = coarseSum
                    low[pair] = fineSum
                    pair &+= 1
                }
                start &+= block
            }
            iteration &+= 1
        }
    }

    /// What the pieces add up to, of `count` sums of a piece and a cut.
    private static func sum(_ bits: SIMD2<UInt64>, of cut: Double, count: Int) -> SIMD2<Double> {
        let pieces = bits &- SIMD2(repeating: UInt64(truncatingIfNeeded: count) &* cut.bitPattern)
        return SIMD2(Double(Int64(bitPattern: pieces[0])), Double(Int64(bitPattern: pieces[1]))) * cut.ulp
    }
}
