/// What the estimators need to know of the rewards of one group. It does not depend on their order.
public struct GroupSummary {
    /// k: counted rewards; with weights those of a weight above 0.
    public var count: Int
    /// What the mean is worth in rewards of equal weight, (sum W)^2 / sum W^2; the count without weights.
    public var effectiveCount: Double
    /// What such a reward weighs, sum W^2 / sum W, in a unit common to the batch; 1 without weights.
    var unit: Double
    /// The sum of the rewards, times their weights in the group's own scale, is sumHigh + sumLow.
    var sumHigh: Double
    var sumLow: Double
    /// Exactly the reward where all are equal; NaN where there is none.
    public var mean: Double
    /// Sum of squared deviations from the mean (two passes), 0 where all rewards are equal; with weights times
    /// W sum W / sum W^2, so that over effectiveCount - 1 it estimates the variance of a reward all the same.
    public var sumOfSquares: Double
    /// All counted rewards are equal (exact equality decides, never a small deviation). True for one reward.
    public var constant: Bool
    /// Rewards equal to the upper end of the interval, where a rule asks or where all are ends of it.
    public var successes: Int
    /// All counted rewards are known to be ends of the interval, in their own precision.
    var areEnds = false
    public var prior: Prior

    /// Whether its rewards say anything of their spread: two or more, of which none has all but a millionth of the weight.
    var hasSpread: Bool { count >= 2 && effectiveCount > 1 }

    static func empty(prior: Prior) -> GroupSummary {
        GroupSummary(
            count: 0, effectiveCount: 0, unit: 0, sumHigh: 0, sumLow: 0, mean: .nan, sumOfSquares: 0, constant: false,
            successes: 0, prior: prior)
    }

    /// Mean of the other rewards of the group, without `reward`. Needs count >= 2.
    @inline(__always)
    func meanOfOthers(without reward: Double) -> Double {
        if constant { return mean }
        return ((sumHigh - reward) + sumLow) / Double(count &- 1)
    }
}

/// What is known of a prompt before its rewards.
public struct Prior {
    /// V, NaN where there is none.
    public var value: Double
    /// Number of rewards that it is worth; 0 where that is not known.
    public var strength: Double

    public init(value: Double, strength: Double = 0) {
        self.value = value
        self.strength = strength
    }
}

/// What one pass over the rewards of a group finds.
struct RewardRange {
    var smallest = Double.infinity
    var largest = -Double.infinity

    var largestMagnitude: Double { max(smallest.magnitude, largest.magnitude) }

    /// Kept between both ends against rounding.
    func clamp(_ mean: Double) -> Double { max(smallest, min(mean, largest)) }
}

extension GroupSummary {
    /// - Parameter rewards: the counted rewards, at least one, all finite.
    @_optimize(speed)
    @inline(never)
    init(rewards: UnsafePointer<Double>, count: Int, range: RewardRange, prior: Prior) {
        self = .empty(prior: prior)
        self.count = count
        effectiveCount = Double(count)
        unit = 1
        var sum = ReproducibleSum(count: count, largest: range.largestMagnitude)
        var position = 0
        while position < count {
            sum.add(rewards[position])
            position &+= 1
        }
        sumHigh = sum.high
        sumLow = sum.low
        constant = range.smallest == range.largest
        mean = constant ? range.smallest : sum.value / Double(count)
    }

    /// - Parameters: so many rewards of each end, at least one.
    init(lows: Int, highs: Int, ends: (low: Double, high: Double), prior: Prior, needsSquares: Bool) {
        self = .empty(prior: prior)
        count = lows &+ highs
        effectiveCount = Double(count)
        unit = 1
        areEnds = true
        successes = highs
        constant = lows == 0 || highs == 0
        let smallest = lows > 0 ? ends.low : ends.high
        let largest = highs > 0 ? ends.high : ends.low
        var sum = ReproducibleSum(count: count, largest: max(smallest.magnitude, largest.magnitude))
        sum.add(smallest, times: Double(lows > 0 ? lows : highs))
        if !constant { sum.add(largest, times: Double(highs)) }
        sumHigh = sum.high
        sumLow = sum.low
        mean = constant ? smallest : sum.value / effectiveCount
        if constant || !needsSquares { return }
        let low = (smallest - mean) * (smallest - mean)
        let high = (largest - mean) * (largest - mean)
        var squares = ReproducibleSum(count: count, largest: max(low, high))
        squares.add(low, times: Double(lows))
        squares.add(high, times: Double(highs))
        sumOfSquares = squares.value
    }
}
