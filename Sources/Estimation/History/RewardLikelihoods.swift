/// How likely the two-valued rewards of a prompt are where its true value is Beta(t V, t (1 - V)), for eight strengths t, each
/// twice the one before: logarithms, two at a time.
struct RewardLikelihoods {
    static var pairs: Int { 4 }
    /// The first two strengths.
    private let strengths: SIMD2<Double>
    private let logs: UnsafeMutablePointer<SIMD2<Double>>
    /// Logarithms of t (t + 1) ... for as many factors as the last rewards were.
    private let divisors: UnsafeMutablePointer<SIMD2<Double>>
    private var divisorCount = -1

    init(smallest: Double, workspace: inout Workspace) throws(Failure) {
        strengths = SIMD2(smallest, 2 * smallest)
        logs = try workspace.take(SIMD2<Double>.self, count: RewardLikelihoods.pairs)
        divisors = try workspace.take(SIMD2<Double>.self, count: RewardLikelihoods.pairs)
    }

    /// Logarithms of the probability of a sequence of rewards: of the product over them of (t V + successes before) or
    /// (t (1 - V) + failures before), divided by (t + rewards before). Time is linear in the rewards.
    @_optimize(speed)
    mutating func find(value: Double, successes: Int, count: Int) -> UnsafePointer<SIMD2<Double>> {
        if count != divisorCount {
            risingLogarithms(strengths, count, strengths, 0, into: divisors)
            divisorCount = count
        }
        let wins = strengths * value
        risingLogarithms(wins, successes, strengths - wins, count &- successes, into: logs)
        var pair = 0
        while pair < RewardLikelihoods.pairs {
            logs[pair] -= divisors[pair]
            pair &+= 1
        }
        return UnsafePointer(logs)
    }
}

/// Logarithms of x (x + 1) ... y (y + 1) ... with so many factors of each, for x and y times 1, 4, 16 and 64.
@inline(never)
@_optimize(speed)
private func risingLogarithms(
    _ x: SIMD2<Double>, _ xCount: Int, _ y: SIMD2<Double>, _ yCount: Int,
    into logs: UnsafeMutablePointer<SIMD2<Double>>
) {
    let one = SIMD2<Double>(repeating: 1)
    var (product0, product1, product2, product3) = (one, one, one, one)
    logs[0] = SIMD2(repeating: 0)
    logs[1] = SIMD2(repeating: 0)
    logs[2] = SIMD2(repeating: 0)
    logs[3] = SIMD2(repeating: 0)
    var room = 16
    var isSecond = false
    while true {
        let start = isSecond ? y : x
        var left = isSecond ? yCount : xCount
        var (factor0, factor1, factor2, factor3) = (start, start * 4, start * 16, start * 64)
        while left > 0 {
            product0 *= factor0
            product1 *= factor1
            product2 *= factor2
            product3 *= factor3
            factor0 += one
            factor1 += one
            factor2 += one
            factor3 += one
            left &-= 1
            room &-= 1
            // A factor lies between 2^-22 and 2^32, so that 16 keep within the range of a Double.
            if room == 0 || (left == 0 && (isSecond || yCount == 0)) {
                logs[0] += logarithms(product0)
                logs[1] += logarithms(product1)
                logs[2] += logarithms(product2)
                logs[3] += logarithms(product3)
                (product0, product1, product2, product3) = (one, one, one, one)
                room = 16
            }
        }
        if isSecond { return }
        isSecond = true
    }
}
