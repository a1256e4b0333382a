/// The interval [low, high] that the rewards of a task lie in.
///
/// Everything the estimators do is equivariant under r -> a r + b with a > 0; the paper writes its
/// formulas for [-1, 1] (arXiv 2603.10848), trainers mostly use [0, 1].
public struct Interval: Sendable {
    public let low: Double
    public let high: Double

    public init(low: Double, high: Double) {
        self.low = low
        self.high = high
    }

    public var middle: Double { low + (high - low) / 2 }

    /// h: half the length, the largest standard deviation that a reward can have.
    public var halfRange: Double { (high - low) / 2 }

    /// Rewards and priors arrive rounded to float32 or computed as low + (high - low) p, so that a bound can
    /// be missed by rounding alone. Checks allow for that and for nothing else.
    public var widened: ClosedRange<Double> {
        let slack = 1e-6 * (high - low)
        return ClosedRange(uncheckedBounds: (low - slack, high + slack))
    }

    @inline(__always)
    func contains(_ value: Double) -> Bool {
        value >= widened.lowerBound && value <= widened.upperBound
    }

    /// Kept within the interval; -0.0 becomes 0.0.
    @inline(__always)
    public func clamp(_ value: Double) -> Double {
        (value < low ? low : (value > high ? high : value)) + 0
    }

    /// Success probability that belongs to an expected reward, for rewards that are `low` or `high`.
    @inline(__always)
    public func probability(of value: Double) -> Double {
        let ratio = (value - low) / (high - low)
        return ratio < 0 ? 0 : (ratio > 1 ? 1 : ratio)
    }
}
