import Testing
@testable import Estimation

struct BinomialTestTests {
    /// Sums of a few terms, exact in binary or to 16 digits by hand.
    @Test(
        arguments: [
            (3, 10, 0.5, 0.34375), (0, 10, 0.5, 0.001953125), (5, 10, 0.5, 1), (10, 10, 0.5, 0.001953125),
            (4, 4, 0.5, 0.125),
            (1, 1, 0.25, 0.25), (0, 1, 0.25, 1), (2, 2, 0.25, 0.0625), (1, 2, 0.25, 0.4375), (0, 2, 0.25, 1),
            (3, 3, 0.75, 1),
            (0, 4, 0.75, 0.00390625), (1, 4, 0.75, 0.05078125), (2, 4, 0.75, 0.26171875),
        ] as [(Int, Int, Double, Double)])
    func knownValues(_ successes: Int, _ trials: Int, _ probability: Double, _ expected: Double) {
        #expect(abs(binomialTest(successes: successes, trials: trials, probability: probability) - expected) <= 1e-15)
    }

    /// Probabilities that are multiples of 1/8 leave only whole numbers to add up and compare.
    @Test func wholeNumbers() {
        for trials in 1...14 {
            for eighths in 1...7 {
                let likelihoods = (0...trials).map {
                    binomial(trials, $0) * power(eighths, $0) * power(8 - eighths, trials - $0)
                }
                for successes in 0...trials {
                    let tail = likelihoods.filter { $0 <= likelihoods[successes] }.reduce(0, +)
                    let found = binomialTest(successes: successes, trials: trials, probability: Double(eighths) / 8)
                    #expect(abs(found - Double(tail) / Double(power(8, trials))) <= 1e-14)
                }
            }
        }
    }

    @Test func complement() {
        for trials in [1, 2, 3, 16, 100, 1001] {
            for probability in stride(from: 1.0 / 64, to: 1, by: 1.0 / 64) {
                for successes in Set([0, 1, trials / 3, trials / 2, trials - 1, trials]) {
                    let one = binomialTest(successes: successes, trials: trials, probability: probability)
                    let other = binomialTest(
                        successes: trials - successes, trials: trials, probability: 1 - probability)
                    #expect(abs(one - other) <= 1e-12 * one)
                    #expect(one >= 0 && one <= 1)
                }
            }
        }
    }

    @Test func ends() {
        #expect(binomialTest(successes: 0, trials: 0, probability: 0.3) == 1)
        #expect(binomialTest(successes: 0, trials: 5, probability: 0) == 1)
        #expect(binomialTest(successes: 1, trials: 5, probability: 0) == 0)
        #expect(binomialTest(successes: 5, trials: 5, probability: 1) == 1)
        #expect(binomialTest(successes: 4, trials: 5, probability: 1) == 0)
        for probability in [.leastNonzeroMagnitude, 1e-300, 1e-17, 1 - 0x1p-53] {
            for successes in 0...20 {
                let value = binomialTest(successes: successes, trials: 20, probability: probability)
                #expect(value >= 0 && value <= 1)
            }
        }
    }

    /// The likelihood of the outcome seen is far below the smallest number.
    @Test func farTail() {
        #expect(binomialTest(successes: 0, trials: 100_000, probability: 0.5) == 0)
        #expect(binomialTest(successes: 50_000, trials: 100_000, probability: 0.5) == 1)
    }

    private func binomial(_ trials: Int, _ successes: Int) -> Int {
        (0..<successes).reduce(1) { $0 * (trials - $1) / ($1 + 1) }
    }

    private func power(_ base: Int, _ exponent: Int) -> Int {
        (0..<exponent).reduce(1) { product, _ in product * base }
    }
}
