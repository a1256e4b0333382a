/// The sum of rewards that are multiples of 2^-20 of moderate size: exact, hence the same in any order.
struct DyadicSum {
    let value: Double
    let smallest: Double
    let isConstant: Bool

    /// Adding this and taking it away again rounds a reward up to `limit` to a multiple of 2^-20.
    private static var grid: Double { 0x1.8p32 }
    private static var limit: Double { 0x1p20 }
    /// So many rewards up to `limit` add up to 2^53 units of 2^-20, the most that a Double holds exactly.
    private static var largestCount: Int { 1 &<< 13 }

    /// nil where a reward is no such number or is not accepted, or where there are too many. `count` is not 0.
    @inline(__always)
    init?<Reward: RewardScalar>(_ rewards: UnsafePointer<Reward>, count: Int, accepted: ClosedRange<Double>) {
        if count > DyadicSum.largestCount { return nil }
        let scan = count < 8 ? Scan().adding(rewards, from: 0, to: count) : Scan(wide: rewards, count: count)
        guard scan.off == 0 && scan.low >= max(accepted.lowerBound, -DyadicSum.limit)
            && scan.high <= min(accepted.upperBound, DyadicSum.limit)
        else { return nil }
        value = scan.sum
        smallest = scan.low
        isConstant = scan.low == scan.high
    }

    private struct Scan {
        var sum = 0.0
        var low = Double.infinity
        var high = -Double.infinity
        /// The bits of all distances from the grid: not 0 where a reward is off it, NaN or infinite.
        var off: UInt64 = 0

        @inline(__always)
        init() {}

        /// Several rewards at once: the compiler may not reorder sums by itself, but these are exact.
        @inline(never)
        @_optimize(speed)
        init<Reward: RewardScalar>(wide rewards: UnsafePointer<Reward>, count: Int) {
            var sums = SIMD4<Double>(repeating: 0)
            var lows = SIMD4<Double>(repeating: .infinity)
            var highs = SIMD4<Double>(repeating: -.infinity)
            var offs = SIMD4<UInt64>(repeating: 0)
            var position = 0
            while position &+ 4 <= count {
                let four = Reward.four(rewards + position)
                let rest = (four + DyadicSum.grid) - DyadicSum.grid - four
                offs |= unsafeBitCast(rest, to: SIMD4<UInt64>.self)
                lows.replace(with: four, where: four .< lows)
                highs.replace(with: four, where: four .> highs)
                sums += four
                position &+= 4
            }
            sum = (sums[0] + sums[1]) + (sums[2] + sums[3])
            low = min(min(lows[0], lows[1]), min(lows[2], lows[3]))
            high = max(max(highs[0], highs[1]), max(highs[2], highs[3]))
            off = offs[0] | offs[1] | offs[2] | offs[3]
            self = adding(rewards, from: position, to: count)
        }

        @inline(__always)
        func adding<Reward: RewardScalar>(_ rewards: UnsafePointer<Reward>, from start: Int, to end: Int) -> Scan {
            var scan = self
            var position = start
            while position < end {
                let reward = rewards[position].double
                let rest = (reward + DyadicSum.grid) - DyadicSum.grid - reward
                scan.off |= rest.bitPattern
                scan.low = reward < scan.low ? reward : scan.low
                scan.high = reward > scan.high ? reward : scan.high
                scan.sum += reward
                position &+= 1
            }
            return scan
        }
    }
}
