import SeededRandom
import Testing
@testable import Estimation

#if canImport(Glibc)
import Glibc
#endif

struct TokenVectorTests {
    @Test func exponentialOfDoubles() {
        var worst = 0.0
        for step in 0..<200_000 {
            let x = -700 + 0.007 * Double(step)
            let found = FourDoubles.exponential(FourDoubles(x)).lanes.2
            worst = max(worst, abs(found - exp(x)) / exp(x).ulp)
        }
        #expect(worst <= 2)
    }

    @Test func exponentialOfFloats() {
        var worst: Float = 0
        for step in 0..<200_000 {
            let x = -87 + 0.00087 * Float(step)
            let found = FourFloats.exponential(FourFloats(x)).lanes.1
            let exact = exp(Double(x))
            worst = max(worst, Float(abs(Double(found) - exact)) / Float(exact).ulp)
        }
        #expect(worst <= 2)
    }

    @Test func exponentialBeyondItsEnds() {
        for x in [-.infinity, -1e30, -701, .nan] as [Double] {
            #expect(FourDoubles.exponential(FourDoubles(x)).lanes.0 == FourDoubles.exponential(FourDoubles(-700)).lanes.0)
        }
        for x in [-.infinity, -1e30, -88, .nan] as [Float] {
            #expect(FourFloats.exponential(FourFloats(x)).lanes.0 == FourFloats.exponential(FourFloats(-87)).lanes.0)
        }
        #expect(FourDoubles.exponential(FourDoubles(.infinity)).lanes.0.isFinite)
        #expect(FourFloats.exponential(FourFloats(.infinity)).lanes.0.isFinite)
        #expect(FourDoubles.exponential(FourDoubles(0)).lanes.0 == 1 && FourFloats.exponential(FourFloats(0)).lanes.0 == 1)
    }

    @Test func bytesThatAreNotZero() {
        for bytes: UInt32 in [0, 1, 0x80, 0xFF, 0x0100, 0xFF00_0000, 0x0001_0200, 0x8000_0001, .max] {
            let floats = FourFloats.isSet(bytes) & FourFloats(1)
            let doubles = FourDoubles.isSet(bytes) & FourDoubles(1)
            let expected = (0..<4).map { (bytes >> (8 * $0)) & 0xFF == 0 ? 0.0 : 1 }
            let (a, b, c, d) = floats.lanes
            #expect([a, b, c, d].map(Double.init) == expected)
            let (e, f, g, h) = doubles.lanes
            #expect([e, f, g, h] == expected)
            #expect(FourFloats.isSet(bytes).hasAny == (bytes != 0) && FourDoubles.isSet(bytes).hasAny == (bytes != 0))
        }
    }
}
