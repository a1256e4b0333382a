/// Sums of rewards that are multiples of one unit, a power of two, and of moderate size: exact, hence the same in any order.
///
/// Added to a reward of at most R, C = 3 R rounds it to a multiple of the unit, the last bit of the numbers between 2 R and
/// 4 R; and the bits of the sum, taken as a whole number, exceed those of C by the units in the reward. So one addition both
/// says whether the reward is such a multiple and counts.
protocol GridSum {
    associatedtype Reward: RewardScalar
    /// So many rewards can be added to one sum.
    static var largestCount: Int { get }

    /// - Parameter interval: what the rewards lie in, as a rule.
    init(_ interval: Interval)
    var unit: Double { get }
    mutating func add(four rewards: UnsafePointer<Reward>)
    mutating func add(_ reward: UnsafePointer<Reward>)
    /// The units of all that was added since the last time, 256 rewards at most.
    mutating func take(count: Int) -> Int
    /// Whether all that was ever added were such multiples, none beyond R, and accepted.
    func hasTaken(only accepted: ClosedRange<Double>) -> Bool
}

struct FloatGridSum: GridSum {
    typealias Four = SIMD4<Float>
    typealias Bits = SIMD4<UInt32>

    /// Units of one reward are at most 2^22, those of all at most 2^53, which a Double holds.
    static var largestCount: Int { 1 &<< 31 }

    let unit: Double
    private let limit: Float
    private let shift: Four
    private var bits = Bits(repeating: 0)
    /// Set where a reward was no multiple, or was NaN.
    private var off = Bits(repeating: 0)
    private var low = Four(repeating: .infinity)
    private var high = Four(repeating: -.infinity)

    /// R is a power of two that both ends of the interval keep within, 16 or more.
    @inline(__always)
    init(_ interval: Interval) {
        let end = max(interval.low.magnitude, interval.high.magnitude)
        var limit: Float = 16
        while Double(limit) < end && limit < 0x1p60 { limit *= 2 }
        self.limit = limit
        shift = Four(repeating: 3 * limit)
        unit = Double(limit) * 0x1p-22
    }

    @inline(__always)
    private mutating func add(_ rewards: Four, counting lanes: Bits) {
        let sum = rewards + shift
        off |= unsafeBitCast(sum - shift .!= rewards, to: Bits.self)
        low.replace(with: rewards, where: rewards .< low)
        high.replace(with: rewards, where: high .< rewards)
        bits &+= unsafeBitCast(sum, to: Bits.self) & lanes
    }

    @inline(__always)
    mutating func add(four rewards: UnsafePointer<Float>) {
        add(UnsafeRawPointer(rewards).loadUnaligned(as: Four.self), counting: Bits(repeating: .max))
    }

    @inline(__always)
    mutating func add(_ reward: UnsafePointer<Float>) {
        add(Four(repeating: reward.pointee), counting: Bits(.max, 0, 0, 0))
    }

    @inline(__always)
    mutating func take(count: Int) -> Int {
        let all = (bits[0] &+ bits[1]) &+ (bits[2] &+ bits[3])
        let ofShift = UInt32(truncatingIfNeeded: count) &* (3 * limit).bitPattern
        bits = Bits(repeating: 0)
        return Int(Int32(bitPattern: all &- ofShift))
    }

    /// The units of one reward, without adding it.
    @inline(__always)
    func units(of reward: Float) -> Int {
        Int(Int32(bitPattern: (reward + 3 * limit).bitPattern &- (3 * limit).bitPattern))
    }

    /// Of a reward that is not beyond R.
    static var largestUnits: Int { 1 &<< 22 }

    @inline(__always)
    func hasTaken(only accepted: ClosedRange<Double>) -> Bool {
        let least = Double(min(min(low[0], low[1]), min(low[2], low[3])))
        let most = Double(max(max(high[0], high[1]), max(high[2], high[3])))
        return (off[0] | off[1]) | (off[2] | off[3]) == 0
            && least >= max(accepted.lowerBound, Double(-limit)) && most <= min(accepted.upperBound, Double(limit))
    }
}

struct DoubleGridSum: GridSum {
    typealias Four = SIMD4<Double>
    typealias Bits = SIMD4<UInt64>

    /// Units of one reward are at most 2^40, so that those of all fit into an Int.
    static var largestCount: Int { 1 &<< 22 }

    private static var limit: Double { 0x1p20 }
    /// 3 R for R = 2^31, of which no more than `limit` is used, so that many rewards can be added.
    private static var shift: Double { 0x1.8p32 }

    private var bits = Bits(repeating: 0)
    private var off = Bits(repeating: 0)
    private var low = Four(repeating: .infinity)
    private var high = Four(repeating: -.infinity)

    @inline(__always)
    init(_ interval: Interval) {}

    @inline(__always)
    var unit: Double { 0x1p-20 }

    @inline(__always)
    private mutating func add(_ rewards: Four, counting lanes: Bits) {
        let shift = Four(repeating: DoubleGridSum.shift)
        let sum = rewards + shift
        off |= unsafeBitCast(sum - shift .!= rewards, to: Bits.self)
        low.replace(with: rewards, where: rewards .< low)
        high.replace(with: rewards, where: high .< rewards)
        bits &+= unsafeBitCast(sum, to: Bits.self) & lanes
    }

    @inline(__always)
    mutating func add(four rewards: UnsafePointer<Double>) {
        add(UnsafeRawPointer(rewards).loadUnaligned(as: Four.self), counting: Bits(repeating: .max))
    }

    @inline(__always)
    mutating func add(_ reward: UnsafePointer<Double>) {
        add(Four(repeating: reward.pointee), counting: Bits(.max, 0, 0, 0))
    }

    @inline(__always)
    mutating func take(count: Int) -> Int {
        let all = (bits[0] &+ bits[1]) &+ (bits[2] &+ bits[3])
        let ofShift = UInt64(truncatingIfNeeded: count) &* DoubleGridSum.shift.bitPattern
        bits = Bits(repeating: 0)
        return Int(truncatingIfNeeded: all &- ofShift)
    }

    @inline(__always)
    func hasTaken(only accepted: ClosedRange<Double>) -> Bool {
        let least = min(min(low[0], low[1]), min(low[2], low[3]))
        let most = max(max(high[0], high[1]), max(high[2], high[3]))
        return (off[0] | off[1]) | (off[2] | off[3]) == 0
            && least >= max(accepted.lowerBound, -DoubleGridSum.limit)
            && most <= min(accepted.upperBound, DoubleGridSum.limit)
    }
}
