import CLibrary
import Testing
@testable import Estimation

struct ElementaryFunctionTests {
    /// Within two units in the last place of the C library's, or of 1 near 1.
    @Test func logarithmsAreThoseOfTheLibrary() {
        var x = 1e-300
        while x < 1e300 {
            let found = logarithms(SIMD2(x, 1 + 1 / x))
            #expect(abs(found[0] - log(x)) <= 5e-16 * max(1, abs(log(x))), "\(x)")
            if x > 1e-6 { #expect(abs(found[1] - log1p(1 / x)) <= 5e-16, "1 + 1 / \(x)") }
            x *= 1.7
        }
        #expect(logarithms(SIMD2(1, 1)) == SIMD2(0, 0))
    }

    @Test func exponentialsAreThoseOfTheLibrary() {
        var x = -700.0
        while x <= 700 {
            let found = exponentials(SIMD2(x, -x))
            #expect(abs(found[0] / exp(x) - 1) <= 1e-15 && abs(found[1] / exp(-x) - 1) <= 1e-15, "\(x)")
            x += 0.37
        }
        #expect(exponentials(SIMD2(0, -1e300))[0] == 1 && exponentials(SIMD2(0, -1e300))[1] < 1e-300)
    }
}
