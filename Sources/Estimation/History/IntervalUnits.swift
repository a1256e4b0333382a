/// Fractions of an interval as fractions of one that holds it.
struct IntervalUnits {
    private let offset: Double
    private let scale: Double
    let isSame: Bool

    init(from inner: Interval, to outer: Interval) throws(Failure) {
        guard inner.low >= outer.low && inner.high <= outer.high else {
            throw Failure(
                .invalidOption, "other must have a reward_range within this one's", reals: inner.low, inner.high)
        }
        isSame = inner.low == outer.low && inner.high == outer.high
        let width = outer.high - outer.low
        offset = (inner.low - outer.low) / width
        scale = (inner.high - inner.low) / width
    }

    func fraction(_ fraction: Double) -> Double { isSame ? fraction : min(1, offset + scale * fraction) }

    /// The sum of as many fractions as `count` says.
    func sum(_ sum: Double, count: Double) -> Double {
        isSame ? sum : min(count, offset * count + scale * sum)
    }
}
