/// What the batches recorded so far had in common: their level, and what a typical rollout weighs.
struct BatchLevel {
    /// g, as a fraction of the interval; NaN before anything was recorded.
    var level = Double.nan
    /// Running mean of the weights of rollouts, so that a typical one counts one; NaN before there were any.
    var meanWeight = Double.nan

    /// Part of the newest batch in the level and in the mean weight.
    private static var rate: Double { 0.2 }

    mutating func learnWeight(_ mean: Double) {
        meanWeight = meanWeight.isNaN ? mean : meanWeight + BatchLevel.rate * (mean - meanWeight)
    }

    /// The first batch counts as one rollout more, with half a success, so that the level is no end of the interval.
    mutating func learnLevel(successes: Double, count: Double) {
        // A batch far lighter than those before says nothing beside them.
        if count < .leastNormalMagnitude { return }
        if level.isNaN {
            level = (successes + 0.5) / (count + 1)
        } else {
            level += BatchLevel.rate * (successes / count - level)
        }
        level = max(0, min(level, 1))
    }

    /// The mean of both. The level of the other becomes that of the same rewards in this one's units.
    mutating func merge(_ other: BatchLevel, units: IntervalUnits) {
        level = BatchLevel.middle(level, other.level.isNaN ? .nan : units.fraction(other.level))
        meanWeight = BatchLevel.middle(meanWeight, other.meanWeight)
    }

    /// Of two running means, of which one or both may not be known.
    private static func middle(_ mine: Double, _ others: Double) -> Double {
        mine.isNaN ? others : (others.isNaN ? mine : mine + (others - mine) / 2)
    }

    func check() throws(Failure) {
        guard
            (level.isNaN || (level >= 0 && level <= 1))
                && (meanWeight.isNaN || (meanWeight > 0 && meanWeight <= .greatestFiniteMagnitude))
        else { throw Failure(.checkpointCorrupted, "checkpoint must hold running means that can be") }
    }
}
