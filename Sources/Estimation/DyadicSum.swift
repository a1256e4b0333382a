/// The sum of rewards that are multiples of 2^-20 of moderate size: exact, hence the same in any order.
struct DyadicSum {
    let value: Double
    let smallest: Double
    let isConstant: Bool

    /// Adding this and taking it away again rounds a reward up to `limit` to a multiple of 2^-20.
    private static var grid: Double { 0x1.8p32 }
    private static var limit: Double { 0x1p20 }
    /// Multiples of 2^-20 are exact up to this, 2^53 of them.
    private static var largestSum: Double { 0x1p33 }

    /// nil where a reward is no such number or is not accepted. `count` in 1...2^30.
    @inline(__always)
    init?<Reward: RewardScalar>(_ rewards: UnsafePointer<Reward>, count: Int, accepted: ClosedRange<Double>) {
        // Several rows at once: the compiler may not reorder sums by itself, but these are exact. Not worth it for few.
        var sums = SIMD4<Double>(repeating: 0)
        var smallest = SIMD4<Double>(repeating: .infinity)
        var largest = SIMD4<Double>(repeating: -.infinity)
        var offGrid = SIMD4<Double>(repeating: 0)
        var position = 0
        while count >= 8 && position &+ 4 <= count {
            let four = Reward.four(rewards + position)
            let rest = (four + DyadicSum.grid) - DyadicSum.grid - four
            // Not a sum of squares, which underflow; NaN differs from 0, too.
            offGrid.replace(with: 1, where: rest .!= 0)
            smallest.replace(with: four, where: four .< smallest)
            largest.replace(with: four, where: four .> largest)
            sums += four
            position &+= 4
        }
        var sum = (sums[0] + sums[1]) + (sums[2] + sums[3])
        var low = min(min(smallest[0], smallest[1]), min(smallest[2], smallest[3]))
        var high = max(max(largest[0], largest[1]), max(largest[2], largest[3]))
        var off = (offGrid[0] + offGrid[1]) + (offGrid[2] + offGrid[3])
        while position < count {
            let reward = rewards[position].double
            let rest = (reward + DyadicSum.grid) - DyadicSum.grid - reward
            off = rest != 0 ? 1 : off
            low = reward < low ? reward : low
            high = reward > high ? reward : high
            sum += reward
            position &+= 1
        }
        guard off == 0 && low >= max(accepted.lowerBound, -DyadicSum.limit)
            && high <= min(accepted.upperBound, DyadicSum.limit)
            && Double(count) * max(high, -low) <= DyadicSum.largestSum
        else { return nil }
        value = sum
        self.smallest = low
        isConstant = low == high
    }
}
