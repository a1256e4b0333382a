/// Four neighbouring numbers, and what the loops over tokens need of them. Conditions are numbers too, all bits of a lane set
/// where it holds and none where not, as the processor has them. (The generic operations of the standard library work lane
/// by lane, which is ten times slower.)
public protocol TokenVector {
    associatedtype Scalar: BinaryFloatingPoint
    /// e^x below this is nothing beside 1.
    static var negligibleExponent: Scalar { get }
    /// e^x below this is taken for e^this: nothing, but no denormal number.
    static var smallestExponent: Scalar { get }

    init(_ value: Scalar)
    init(_ first: Scalar, _ second: Scalar, _ third: Scalar, _ fourth: Scalar)
    static func load(_ start: UnsafePointer<Scalar>) -> Self
    /// Where the bytes, the first one lowest, are not 0.
    static func isSet(_ bytes: UInt32) -> Self
    func store(to start: UnsafeMutablePointer<Scalar>)
    var lanes: (Scalar, Scalar, Scalar, Scalar) { get }
    /// Whether any bit is set.
    var hasAny: Bool { get }
    var magnitude: Self { get }
    /// Sum of the lanes.
    var sum: Double { get }

    static func + (left: Self, right: Self) -> Self
    static func - (left: Self, right: Self) -> Self
    static func * (left: Self, right: Self) -> Self
    static func / (left: Self, right: Self) -> Self
    static func < (left: Self, right: Self) -> Self
    static func <= (left: Self, right: Self) -> Self
    static func & (left: Self, right: Self) -> Self
    static func | (left: Self, right: Self) -> Self
    /// left and not right
    static func &~ (left: Self, right: Self) -> Self
    /// e^x to about one unit in the last place, for x within smallestExponent and as much above 0; beyond, the ends count.
    static func exponential(_ x: Self) -> Self
}

infix operator &~: MultiplicationPrecedence

extension TokenVector {
    /// `self` where the condition holds, else `other`. NaN is like any other number.
    @inline(__always)
    func chosen(where condition: Self, else other: Self) -> Self { (self & condition) | (other &~ condition) }

    /// The smaller of both; `limit` for NaN.
    @inline(__always)
    func atMost(_ limit: Self) -> Self { chosen(where: self < limit, else: limit) }

    /// The larger of both; `limit` for NaN.
    @inline(__always)
    func atLeast(_ limit: Self) -> Self { chosen(where: limit < self, else: limit) }
}

public struct FourFloats: TokenVector {
    private let four: SIMD4<Float>

    public static var negligibleExponent: Float { -18 }
    public static var smallestExponent: Float { -87 }

    @inline(__always) private init(_ four: SIMD4<Float>) { self.four = four }
    @inline(__always) private init(_ bits: SIMD4<UInt32>) { four = unsafeBitCast(bits, to: SIMD4<Float>.self) }
    @inline(__always) private init(_ mask: SIMDMask<SIMD4<Int32>>) { four = unsafeBitCast(mask, to: SIMD4<Float>.self) }
    @inline(__always) private var bits: SIMD4<UInt32> { unsafeBitCast(four, to: SIMD4<UInt32>.self) }

    @inline(__always) public init(_ value: Float) { four = SIMD4(repeating: value) }
    @inline(__always) public init(_ first: Float, _ second: Float, _ third: Float, _ fourth: Float) {
        four = SIMD4(first, second, third, fourth)
    }
    @inline(__always) public static func load(_ start: UnsafePointer<Float>) -> FourFloats {
        FourFloats(UnsafeRawPointer(start).loadUnaligned(as: SIMD4<Float>.self))
    }
    @inline(__always) public static func isSet(_ bytes: UInt32) -> FourFloats {
        // Each byte less than 256, so that adding 255 carries where it is not 0.
        let byte = (SIMD4<UInt32>(repeating: bytes) &>> SIMD4(0, 8, 16, 24)) & SIMD4(repeating: 255)
        return FourFloats(SIMD4<UInt32>(repeating: 0) &- ((byte &+ SIMD4(repeating: 255)) &>> SIMD4(repeating: 8)))
    }
    @inline(__always) public func store(to start: UnsafeMutablePointer<Float>) {
        UnsafeMutableRawPointer(start).storeBytes(of: four, as: SIMD4<Float>.self)
    }
    @inline(__always) public var lanes: (Float, Float, Float, Float) { (four[0], four[1], four[2], four[3]) }
    @inline(__always) public var hasAny: Bool {
        let halves = unsafeBitCast(four, to: SIMD2<UInt64>.self)
        return halves[0] | halves[1] != 0
    }
    @inline(__always) public var magnitude: FourFloats { FourFloats(bits & SIMD4(repeating: 0x7FFF_FFFF)) }
    @inline(__always) public var sum: Double {
        (Double(four[0]) + Double(four[1])) + (Double(four[2]) + Double(four[3]))
    }

    @inline(__always) public static func + (a: FourFloats, b: FourFloats) -> FourFloats { FourFloats(a.four + b.four) }
    @inline(__always) public static func - (a: FourFloats, b: FourFloats) -> FourFloats { FourFloats(a.four - b.four) }
    @inline(__always) public static func * (a: FourFloats, b: FourFloats) -> FourFloats { FourFloats(a.four * b.four) }
    @inline(__always) public static func / (a: FourFloats, b: FourFloats) -> FourFloats { FourFloats(a.four / b.four) }
    @inline(__always) public static func < (a: FourFloats, b: FourFloats) -> FourFloats { FourFloats(a.four .< b.four) }
    @inline(__always) public static func <= (a: FourFloats, b: FourFloats) -> FourFloats { FourFloats(a.four .<= b.four) }
    @inline(__always) public static func & (a: FourFloats, b: FourFloats) -> FourFloats { FourFloats(a.bits & b.bits) }
    @inline(__always) public static func | (a: FourFloats, b: FourFloats) -> FourFloats { FourFloats(a.bits | b.bits) }
    @inline(__always) public static func &~ (a: FourFloats, b: FourFloats) -> FourFloats { FourFloats(a.bits & ~b.bits) }

    /// x = n ln 2 + r with |r| <= ln 2 / 2: 2^n from the bits of n, e^r from its Taylor series.
    @inline(__always)
    public static func exponential(_ x: FourFloats) -> FourFloats {
        let within = x.atLeast(FourFloats(smallestExponent)).atMost(FourFloats(-smallestExponent)).four
        // Adding 1.5 * 2^23 leaves a whole number in the lowest bits.
        let shift = SIMD4<Float>(repeating: 0x1.8p23)
        let shifted = within * SIMD4<Float>(repeating: 0x1.715476p0) + shift
        let n = shifted - shift
        // ln 2 in two pieces, the first with few enough bits that its product with n is exact.
        let high: SIMD4<Float> = n * SIMD4<Float>(repeating: 0x1.62e4p-1)
        let low: SIMD4<Float> = n * SIMD4<Float>(repeating: 0x1.7f7d1cp-20)
        let r: SIMD4<Float> = within - high - low
        var series = r * SIMD4<Float>(repeating: 1 / 5040) + SIMD4<Float>(repeating: 1 / 720)
        series = series * r + SIMD4<Float>(repeating: 1 / 120)
        series = series * r + SIMD4<Float>(repeating: 1 / 24)
        series = series * r + SIMD4<Float>(repeating: 1 / 6)
        series = series * r + SIMD4<Float>(repeating: 1 / 2)
        series = series * r * r + r + SIMD4<Float>(repeating: 1)
        let exponent = unsafeBitCast(shifted, to: SIMD4<UInt32>.self) &<< SIMD4<UInt32>(repeating: 23)
        // 2^n times the series, by adding n to the exponent of the series.
        return FourFloats(unsafeBitCast(series, to: SIMD4<UInt32>.self) &+ exponent)
    }
}

public struct FourDoubles: TokenVector {
    private let four: SIMD4<Double>

    public static var negligibleExponent: Double { -38 }
    public static var smallestExponent: Double { -700 }

    @inline(__always) private init(_ four: SIMD4<Double>) { self.four = four }
    @inline(__always) private init(_ bits: SIMD4<UInt64>) { four = unsafeBitCast(bits, to: SIMD4<Double>.self) }
    @inline(__always) private init(_ mask: SIMDMask<SIMD4<Int64>>) { four = unsafeBitCast(mask, to: SIMD4<Double>.self) }
    @inline(__always) private var bits: SIMD4<UInt64> { unsafeBitCast(four, to: SIMD4<UInt64>.self) }

    @inline(__always) public init(_ value: Double) { four = SIMD4(repeating: value) }
    @inline(__always) public init(_ first: Double, _ second: Double, _ third: Double, _ fourth: Double) {
        four = SIMD4(first, second, third, fourth)
    }
    @inline(__always) public static func load(_ start: UnsafePointer<Double>) -> FourDoubles {
        FourDoubles(UnsafeRawPointer(start).loadUnaligned(as: SIMD4<Double>.self))
    }
    @inline(__always) public static func isSet(_ bytes: UInt32) -> FourDoubles {
        let byte = (SIMD4<UInt64>(repeating: UInt64(bytes)) &>> SIMD4(0, 8, 16, 24)) & SIMD4(repeating: 255)
        return FourDoubles(SIMD4<UInt64>(repeating: 0) &- ((byte &+ SIMD4(repeating: 255)) &>> SIMD4(repeating: 8)))
    }
    @inline(__always) public func store(to start: UnsafeMutablePointer<Double>) {
        UnsafeMutableRawPointer(start).storeBytes(of: four, as: SIMD4<Double>.self)
    }
    @inline(__always) public var lanes: (Double, Double, Double, Double) { (four[0], four[1], four[2], four[3]) }
    @inline(__always) public var hasAny: Bool {
        let all = bits
        return (all[0] | all[1]) | (all[2] | all[3]) != 0
    }
    @inline(__always) public var magnitude: FourDoubles { FourDoubles(bits & SIMD4(repeating: 0x7FFF_FFFF_FFFF_FFFF)) }
    @inline(__always) public var sum: Double { (four[0] + four[1]) + (four[2] + four[3]) }

    @inline(__always) public static func + (a: FourDoubles, b: FourDoubles) -> FourDoubles { FourDoubles(a.four + b.four) }
    @inline(__always) public static func - (a: FourDoubles, b: FourDoubles) -> FourDoubles { FourDoubles(a.four - b.four) }
    @inline(__always) public static func * (a: FourDoubles, b: FourDoubles) -> FourDoubles { FourDoubles(a.four * b.four) }
    @inline(__always) public static func / (a: FourDoubles, b: FourDoubles) -> FourDoubles { FourDoubles(a.four / b.four) }
    @inline(__always) public static func < (a: FourDoubles, b: FourDoubles) -> FourDoubles { FourDoubles(a.four .< b.four) }
    @inline(__always) public static func <= (a: FourDoubles, b: FourDoubles) -> FourDoubles { FourDoubles(a.four .<= b.four) }
    @inline(__always) public static func & (a: FourDoubles, b: FourDoubles) -> FourDoubles { FourDoubles(a.bits & b.bits) }
    @inline(__always) public static func | (a: FourDoubles, b: FourDoubles) -> FourDoubles { FourDoubles(a.bits | b.bits) }
    @inline(__always) public static func &~ (a: FourDoubles, b: FourDoubles) -> FourDoubles { FourDoubles(a.bits & ~b.bits) }

    /// As for floats, with more terms.
    @inline(__always)
    public static func exponential(_ x: FourDoubles) -> FourDoubles {
        let within = x.atLeast(FourDoubles(smallestExponent)).atMost(FourDoubles(-smallestExponent)).four
        let shift = SIMD4<Double>(repeating: 0x1.8p52)
        let shifted = within * SIMD4<Double>(repeating: 0x1.71547652b82fep0) + shift
        let n = shifted - shift
        let high: SIMD4<Double> = n * SIMD4<Double>(repeating: 0x1.62e42fefap-1)
        let low: SIMD4<Double> = n * SIMD4<Double>(repeating: 0x1.cf79abc9e3b3ap-40)
        let r: SIMD4<Double> = within - high - low
        var series = r * SIMD4<Double>(repeating: 1 / 6_227_020_800) + SIMD4<Double>(repeating: 1 / 479_001_600)
        series = series * r + SIMD4<Double>(repeating: 1 / 39_916_800)
        series = series * r + SIMD4<Double>(repeating: 1 / 3_628_800)
        series = series * r + SIMD4<Double>(repeating: 1 / 362_880)
        series = series * r + SIMD4<Double>(repeating: 1 / 40_320)
        series = series * r + SIMD4<Double>(repeating: 1 / 5040)
        series = series * r + SIMD4<Double>(repeating: 1 / 720)
        series = series * r + SIMD4<Double>(repeating: 1 / 120)
        series = series * r + SIMD4<Double>(repeating: 1 / 24)
        series = series * r + SIMD4<Double>(repeating: 1 / 6)
        series = series * r + SIMD4<Double>(repeating: 1 / 2)
        series = series * r * r + r + SIMD4<Double>(repeating: 1)
        let exponent = unsafeBitCast(shifted, to: SIMD4<UInt64>.self) &<< SIMD4<UInt64>(repeating: 52)
        return FourDoubles(unsafeBitCast(series, to: SIMD4<UInt64>.self) &+ exponent)
    }
}
