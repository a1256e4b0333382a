import CLibrary

struct FourDoubles: TokenVector {
    typealias Four = SIMD4<Double>
    typealias Bits = SIMD4<UInt64>

    static var lanes: Int { 4 }

    private let four: Four

    static var negligibleExponent: Double { -38 }
    static var smallestExponent: Double { -700 }

    @inline(__always) private init(_ four: Four) { self.four = four }
    @inline(__always) private init(_ bits: Bits) { four = unsafeBitCast(bits, to: Four.self) }
    @inline(__always) private init(_ mask: SIMDMask<SIMD4<Int64>>) { four = unsafeBitCast(mask, to: Four.self) }
    @inline(__always) private var bits: Bits { unsafeBitCast(four, to: Bits.self) }

    @inline(__always) init(_ value: Double) { four = Four(repeating: value) }
    @inline(__always) static func load(_ start: UnsafePointer<Double>) -> FourDoubles {
        FourDoubles(UnsafeRawPointer(start).loadUnaligned(as: Four.self))
    }
    @inline(__always) static func isZero(_ bytes: UnsafePointer<UInt8>) -> FourDoubles {
        FourDoubles(v05_zero_bytes_of_four(bytes))
    }
    @inline(__always) func store(to start: UnsafeMutablePointer<Double>) {
        UnsafeMutableRawPointer(start).storeBytes(of: four, as: Four.self)
    }
    @inline(__always) var hasAny: Bool { v05_any_bit_of_four(bits) != 0 }
    @inline(__always) var magnitude: FourDoubles { FourDoubles(bits & Bits(repeating: 0x7FFF_FFFF_FFFF_FFFF)) }
    @inline(__always) var complement: FourDoubles { FourDoubles(~bits) }
    @inline(__always) var sum: Double { (four[0] + four[1]) + (four[2] + four[3]) }
    @inline(__always) var smallest: Double { min(min(four[0], four[1]), min(four[2], four[3])) }
    @inline(__always) var largest: Double { max(max(four[0], four[1]), max(four[2], four[3])) }
    @inline(__always) func counting(_ condition: FourDoubles) -> FourDoubles { FourDoubles(bits &- condition.bits) }
    @inline(__always) var count: Int {
        Int(truncatingIfNeeded: (bits[0] &+ bits[1]) &+ (bits[2] &+ bits[3]))
    }

    @inline(__always) static func + (a: FourDoubles, b: FourDoubles) -> FourDoubles { FourDoubles(a.four + b.four) }
    @inline(__always) static func - (a: FourDoubles, b: FourDoubles) -> FourDoubles { FourDoubles(a.four - b.four) }
    @inline(__always) static func * (a: FourDoubles, b: FourDoubles) -> FourDoubles { FourDoubles(a.four * b.four) }
    @inline(__always) static func / (a: FourDoubles, b: FourDoubles) -> FourDoubles { FourDoubles(a.four / b.four) }
    @inline(__always) static func < (a: FourDoubles, b: FourDoubles) -> FourDoubles { FourDoubles(a.four .< b.four) }
    @inline(__always) static func <= (a: FourDoubles, b: FourDoubles) -> FourDoubles { FourDoubles(a.four .<= b.four) }
    @inline(__always) static func & (a: FourDoubles, b: FourDoubles) -> FourDoubles { FourDoubles(a.bits & b.bits) }
    @inline(__always) static func | (a: FourDoubles, b: FourDoubles) -> FourDoubles { FourDoubles(a.bits | b.bits) }
    @inline(__always) static func &~ (a: FourDoubles, b: FourDoubles) -> FourDoubles { FourDoubles(a.bits & ~b.bits) }
    @inline(__always) func atMost(_ limit: FourDoubles) -> FourDoubles {
        var least = limit.four
        least.replace(with: four, where: four .< limit.four)
        return FourDoubles(least)
    }
    @inline(__always) func atLeast(_ limit: FourDoubles) -> FourDoubles {
        var most = limit.four
        most.replace(with: four, where: limit.four .< four)
        return FourDoubles(most)
    }

    /// As for floats, with the Taylor series of e^r.
    @inline(never)
    static func exponential(_ x: FourDoubles) -> FourDoubles {
        let within = x.atLeast(FourDoubles(smallestExponent)).atMost(FourDoubles(-smallestExponent)).four
        let shift = Four(repeating: 0x1.8p52)
        let shifted = within * Four(repeating: 0x1.71547652b82fep0) + shift
        let n = shifted - shift
        let high: Four = n * Four(repeating: 0x1.62e42fefap-1)
        let low: Four = n * Four(repeating: 0x1.cf79abc9e3b3ap-40)
        let r: Four = within - high - low
        var series = r * Four(repeating: 1 / 6_227_020_800) + Four(repeating: 1 / 479_001_600)
        series = series * r + Four(repeating: 1 / 39_916_800)
        series = series * r + Four(repeating: 1 / 3_628_800)
        series = series * r + Four(repeating: 1 / 362_880)
        series = series * r + Four(repeating: 1 / 40_320)
        series = series * r + Four(repeating: 1 / 5040)
        series = series * r + Four(repeating: 1 / 720)
        series = series * r + Four(repeating: 1 / 120)
        series = series * r + Four(repeating: 1 / 24)
        series = series * r + Four(repeating: 1 / 6)
        series = series * r + Four(repeating: 1 / 2)
        series = series * r * r + r + Four(repeating: 1)
        let exponent = unsafeBitCast(shifted, to: Bits.self) &<< Bits(repeating: 52)
        return FourDoubles(unsafeBitCast(series, to: Bits.self) &+ exponent)
    }
}

/// See SequencePasses.run. Nothing of it is compiled into its callers, which any processor runs.
@export(interface)
public func modulate(
    _ tokens: TokenArrays<Double>, _ choices: TokenChoices, to output: UnsafeMutablePointer<Double>
) -> TokenFindings {
    SequencePasses<FourDoubles>(tokens, choices).run(to: output)
}
