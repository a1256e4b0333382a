import CLibrary
import SeededRandom
import Testing
@testable import TokenPasses
@testable import TokenPassesAVX2

#if canImport(Glibc)
import Glibc
#endif

private typealias Floats = TokenPasses.EightFloats
private typealias Doubles = TokenPasses.FourDoubles

extension TokenPasses.TokenVector {
    fileprivate var values: [Scalar] {
        var values = [Scalar](repeating: 0, count: Self.lanes)
        store(to: &values)
        return values
    }
}

struct TokenPassesTests {
    @Test func exponentialOfDoubles() {
        var worst = 0.0
        for step in 0..<200_000 {
            let x = -700 + 0.007 * Double(step)
            let found = Doubles.exponential(Doubles(x)).values[2]
            worst = max(worst, abs(found - exp(x)) / exp(x).ulp)
        }
        #expect(worst <= 2)
    }

    @Test func exponentialOfFloats() {
        var worst: Float = 0
        for step in 0..<200_000 {
            let x = -87 + 0.00087 * Float(step)
            let found = Floats.exponential(Floats(x)).values[5]
            let exact = exp(Double(x))
            worst = max(worst, Float(abs(Double(found) - exact)) / Float(exact).ulp)
        }
        #expect(worst <= 2)
    }

    @Test func exponentialBeyondItsEnds() {
        for x in [-.infinity, -1e30, -701, .nan] as [Double] {
            #expect(Doubles.exponential(Doubles(x)).values == Doubles.exponential(Doubles(-700)).values)
        }
        for x in [-.infinity, -1e30, -88, .nan] as [Float] {
            #expect(Floats.exponential(Floats(x)).values == Floats.exponential(Floats(-87)).values)
        }
        #expect(Doubles.exponential(Doubles(.infinity)).values[0].isFinite)
        #expect(Floats.exponential(Floats(.infinity)).values[0].isFinite)
        #expect(Doubles.exponential(Doubles(0)).values[0] == 1 && Floats.exponential(Floats(0)).values[0] == 1)
    }

    @Test func bytesThatAreZero() {
        for bytes: [UInt8] in [
            [0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 128, 255, 0, 0, 2, 0], [0, 0, 0, 0, 0, 0, 0, 1], [1, 2, 3, 4, 5, 6, 7, 8],
            [255, 255, 255, 255, 255, 255, 255, 255],
        ] {
            let floats = Floats.isZero(bytes)
            let doubles = Doubles.isZero(bytes)
            #expect((floats & Floats(1)).values == bytes.map { $0 == 0 ? 1 : 0 })
            #expect((doubles & Doubles(1)).values == bytes.prefix(4).map { $0 == 0 ? 1 : 0 })
            #expect(floats.hasAny == bytes.contains(0) && doubles.hasAny == bytes.prefix(4).contains(0))
            #expect(Floats(0).counting(floats).counting(floats).count == 2 * bytes.count { $0 == 0 })
            #expect(Doubles(0).counting(doubles).count == bytes.prefix(4).count { $0 == 0 })
            #expect((floats.complement & Floats(1)).values == bytes.map { $0 == 0 ? 0 : 1 })
        }
    }

    @Test func limitsAndWhatIsNoNumber() {
        #expect(Floats(3).atMost(Floats(2)).values[0] == 2 && Floats(1).atMost(Floats(2)).values[7] == 1)
        #expect(Floats(3).atLeast(Floats(2)).values[0] == 3 && Floats(1).atLeast(Floats(2)).values[7] == 2)
        #expect(Floats(.nan).atMost(Floats(2)).values[0] == 2 && Floats(.nan).atLeast(Floats(2)).values[0] == 2)
        #expect(Doubles(.nan).atMost(Doubles(2)).values[0] == 2 && Doubles(.nan).atLeast(Doubles(2)).values[0] == 2)
        #expect(Floats(2).atMost(Floats(.nan)).values[0].isNaN && Doubles(2).atMost(Doubles(.nan)).values[0].isNaN)
    }

    /// The processor must not decide what comes out.
    @Test(.enabled(if: v05_has_avx2() != 0)) func sameBitsWithAVX2() {
        var random = SeededRandom(3)
        for length in [1, 7, 8, 9, 63, 64, 65, 200, 1031] {
            for isPerToken in [true, false] {
                let sequences = 3
                func numbers(_ range: ClosedRange<Float>, _ count: Int) -> [Float] {
                    (0..<count).map { _ in Float.random(in: range, using: &random) }
                }
                let all = sequences * length
                let advantages = numbers(-2...2, isPerToken ? all : sequences)
                let entropy = numbers(0...3, all)
                var now = numbers(-4...0, all)
                let old = now.map { $0 + Float.random(in: -0.5...0.5, using: &random) }
                now[all / 2] = -.infinity
                let mask = (0..<all).map { _ in UInt8.random(in: 0...4, using: &random) }
                var plain = [Float](repeating: 0, count: all)
                var wide = plain
                for (steepness, threshold) in [(50.0, 0.99), (3, 0.1)] {
                    let tokens: TokenPasses.TokenArrays<Float> = (
                        sequences, length, advantages.address, isPerToken, entropy.address, now.address, old.address,
                        mask.address
                    )
                    let choices = (0.2, 0.6, steepness, threshold, log1p(0.2), log1p(-0.2), 1e30, 1.0)
                    let first = TokenPasses.modulate(tokens, choices, to: &plain)
                    let second = TokenPassesAVX2.modulate(tokens, choices, to: &wide)
                    #expect(plain.map(\.bitPattern) == wide.map(\.bitPattern))
                    #expect("\(first)" == "\(second)" && first.refused < 0)
                    withExtendedLifetime((advantages, entropy, now, old, mask)) {}
                }
            }
        }
    }
}

extension Array {
    /// Of memory that lives as long as the array, which must be kept.
    fileprivate var address: UnsafePointer<Element> { withUnsafeBufferPointer { $0.baseAddress! } }
}
