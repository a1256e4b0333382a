import CLibrary

struct EightFloats: TokenVector {
    typealias Eight = SIMD8<Float>
    typealias Bits = SIMD8<UInt32>

    static var lanes: Int { 8 }

    private let eight: Eight

    static var negligibleExponent: Float { -18 }
    static var smallestExponent: Float { -87 }

    @inline(__always) private init(_ eight: Eight) { self.eight = eight }
    @inline(__always) private init(_ bits: Bits) { eight = unsafeBitCast(bits, to: Eight.self) }
    @inline(__always) private init(_ mask: SIMDMask<SIMD8<Int32>>) { eight = unsafeBitCast(mask, to: Eight.self) }
    @inline(__always) private var bits: Bits { unsafeBitCast(eight, to: Bits.self) }

    @inline(__always) init(_ value: Float) { eight = Eight(repeating: value) }
    @inline(__always) static func load(_ start: UnsafePointer<Float>) -> EightFloats {
        EightFloats(UnsafeRawPointer(start).loadUnaligned(as: Eight.self))
    }
    @inline(__always) static func isZero(_ bytes: UnsafePointer<UInt8>) -> EightFloats {
        EightFloats(v05_zero_bytes_of_eight(bytes))
    }
    @inline(__always) func store(to start: UnsafeMutablePointer<Float>) {
        UnsafeMutableRawPointer(start).storeBytes(of: eight, as: Eight.self)
    }
    @inline(__always) var hasAny: Bool { v05_any_bit_of_eight(bits) != 0 }
    @inline(__always) var magnitude: EightFloats { EightFloats(bits & Bits(repeating: 0x7FFF_FFFF)) }
    @inline(__always) var complement: EightFloats { EightFloats(~bits) }
    @inline(__always) var sum: Double {
        let first = (Double(eight[0]) + Double(eight[1])) + (Double(eight[2]) + Double(eight[3]))
        return first + ((Double(eight[4]) + Double(eight[5])) + (Double(eight[6]) + Double(eight[7])))
    }
    @inline(__always) var smallest: Double {
        let first = min(min(eight[0], eight[1]), min(eight[2], eight[3]))
        return Double(min(first, min(min(eight[4], eight[5]), min(eight[6], eight[7]))))
    }
    @inline(__always) var largest: Double {
        let first = max(max(eight[0], eight[1]), max(eight[2], eight[3]))
        return Double(max(first, max(max(eight[4], eight[5]), max(eight[6], eight[7]))))
    }
    @inline(__always) func counting(_ condition: EightFloats) -> EightFloats { EightFloats(bits &- condition.bits) }
    @inline(__always) var count: Int {
        let first = (Int(bits[0]) &+ Int(bits[1])) &+ (Int(bits[2]) &+ Int(bits[3]))
        return first &+ (Int(bits[4]) &+ Int(bits[5])) &+ (Int(bits[6]) &+ Int(bits[7]))
    }

    @inline(__always) static func + (a: EightFloats, b: EightFloats) -> EightFloats { EightFloats(a.eight + b.eight) }
    @inline(__always) static func - (a: EightFloats, b: EightFloats) -> EightFloats { EightFloats(a.eight - b.eight) }
    @inline(__always) static func * (a: EightFloats, b: EightFloats) -> EightFloats { EightFloats(a.eight * b.eight) }
    @inline(__always) static func / (a: EightFloats, b: EightFloats) -> EightFloats { EightFloats(a.eight / b.eight) }
    @inline(__always) static func < (a: EightFloats, b: EightFloats) -> EightFloats { EightFloats(a.eight .< b.eight) }
    @inline(__always) static func <= (a: EightFloats, b: EightFloats) -> EightFloats {
        EightFloats(a.eight .<= b.eight)
    }
    @inline(__always) static func & (a: EightFloats, b: EightFloats) -> EightFloats { EightFloats(a.bits & b.bits) }
    @inline(__always) static func | (a: EightFloats, b: EightFloats) -> EightFloats { EightFloats(a.bits | b.bits) }
    @inline(__always) static func &~ (a: EightFloats, b: EightFloats) -> EightFloats { EightFloats(a.bits & ~b.bits) }
    @inline(__always) func atMost(_ limit: EightFloats) -> EightFloats {
        var least = limit.eight
        least.replace(with: eight, where: eight .< limit.eight)
        return EightFloats(least)
    }
    @inline(__always) func atLeast(_ limit: EightFloats) -> EightFloats {
        var most = limit.eight
        most.replace(with: eight, where: limit.eight .< eight)
        return EightFloats(most)
    }

    /// x = n ln 2 + r with |r| <= ln 2 / 2: 2^n from the bits of n, e^r = 1 + r + r^2 p(r) with the polynomial p of degree 5
    /// that is closest (S. L. Moshier, Cephes, expf.c).
    @inline(__always)
    static func exponential(_ x: EightFloats) -> EightFloats {
        let within = x.atLeast(EightFloats(smallestExponent)).atMost(EightFloats(-smallestExponent)).eight
        // Adding 1.5 * 2^23 leaves a whole number in the lowest bits.
        let shift = Eight(repeating: 0x1.8p23)
        let shifted = within * Eight(repeating: 0x1.715476p0) + shift
        let n = shifted - shift
        // ln 2 in two pieces, the first with few enough bits that its product with n is exact.
        let high: Eight = n * Eight(repeating: 0x1.62e4p-1)
        let low: Eight = n * Eight(repeating: 0x1.7f7d1cp-20)
        let r: Eight = within - high - low
        var series = r * Eight(repeating: 1.9875691500e-4) + Eight(repeating: 1.3981999507e-3)
        series = series * r + Eight(repeating: 8.3334519073e-3)
        series = series * r + Eight(repeating: 4.1665795894e-2)
        series = series * r + Eight(repeating: 1.6666665459e-1)
        series = series * r + Eight(repeating: 5.0000001201e-1)
        series = series * (r * r) + r + Eight(repeating: 1)
        let exponent = unsafeBitCast(shifted, to: Bits.self) &<< Bits(repeating: 23)
        // 2^n times the series, by adding n to the exponent of the series.
        return EightFloats(unsafeBitCast(series, to: Bits.self) &+ exponent)
    }
}

/// See SequencePasses.run. Nothing of it is compiled into its callers, which any processor runs.
@export(interface)
public func modulate(
    _ tokens: TokenArrays<Float>, _ choices: TokenChoices, to output: UnsafeMutablePointer<Float>
) -> TokenFindings {
    SequencePasses<EightFloats>(tokens, choices).run(to: output)
}
