import Estimation
import SeededRandom
import Testing
@testable import Allocation

struct SolverTests {
    private func solve(
        _ objective: AllocationObjective, _ probabilities: [Double], total: Int, minimum: Int = 1,
        maximum: Int = Int(Int32.max),
        strengths: [Double]? = nil
    ) throws -> [Int] {
        var workspace = Workspace()
        defer { workspace.release() }
        let counts = UnsafeMutablePointer<Int64>.allocate(capacity: probabilities.count)
        defer { counts.deallocate() }
        try probabilities.withUnsafeBufferPointer { probabilities in
            let strengths = strengths.map { given in
                let copy = UnsafeMutablePointer<Double>.allocate(capacity: given.count)
                copy.initialize(from: given, count: given.count)
                return copy
            }
            defer { strengths?.deallocate() }
            let problem = try AllocationProblem(
                objective: objective, count: probabilities.count, total: total, minimum: minimum, maximum: maximum,
                priority: .official,
                exponent: 1, probabilities: probabilities.baseAddress!, seen: nil, strengths: strengths)
            try problem.solve(counts, workspace: &workspace)
        }
        return (0..<probabilities.count).map { Int(counts[$0]) }
    }

    /// E[p (1 - p)^l], factor by factor.
    private func hit(_ p: Double, _ strength: Double?, _ rollouts: Int) -> Double {
        (0..<rollouts).reduce(p) { gain, l in
            gain * (strength.map { (($0 * (1 - p)) + Double(l)) / ($0 + Double(l) + 1) } ?? (1 - p))
        }
    }

    /// Whoever has the last rollout gained at least what the next one of any other would.
    private func expectBest(
        _ counts: [Int], minimum: Int, gain: (Int, Int) -> Double, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let last = counts.indices.filter { counts[$0] > minimum }.map { gain($0, counts[$0] - 1) }.min() ?? .infinity
        let next = counts.indices.map { gain($0, counts[$0]) }.max()!
        #expect(next <= last * (1 + 1e-9), sourceLocation: sourceLocation)
    }

    @Test func hitBeyondTheFirstFactors() throws {
        var random = SeededRandom(1)
        for total in [500, 3000, 20_000] {
            for hasStrengths in [false, true] {
                let p = (0..<5).map { _ in Double.random(in: 0.0005...0.02, using: &random) }
                let strengths = hasStrengths ? p.map { _ in Double.random(in: 0...200, using: &random) } : nil
                let counts = try solve(.hit, p, total: total, strengths: strengths)
                #expect(counts.reduce(0, +) == total)
                expectBest(counts, minimum: 1) { hit(p[$0], strengths?[$0], $1) }
            }
        }
    }

    @Test func utilityByTheGreedy() throws {
        func utility(_ p: Double, _ k: Int) -> Double {
            Double(k) * (1 - p) * (1 - (0..<max(0, k - 1)).reduce(1) { power, _ in power * (1 - p) })
        }
        var random = SeededRandom(2)
        for _ in 0..<100 {
            let p = (0..<6).map { _ in Double.random(in: 0.1...0.95, using: &random) }
            let (minimum, maximum) = (Int.random(in: 0...3, using: &random), Int.random(in: 4...25, using: &random))
            let total = Int.random(in: 6 * minimum...6 * maximum, using: &random)
            var expected = p.map { _ in minimum }
            func gain(_ prompt: Int) -> Double {
                expected[prompt] < maximum
                    ? utility(p[prompt], expected[prompt] + 1) - utility(p[prompt], expected[prompt]) : 0
            }
            var left = total - 6 * minimum
            while left > 0, let best = (0..<6).max(by: { (gain($0), -$0) < (gain($1), -$1) }), gain(best) > 0 {
                expected[best] += 1
                left -= 1
            }
            while left > 0 {
                for prompt in 0..<6 where left > 0 && expected[prompt] < maximum {
                    expected[prompt] += 1
                    left -= 1
                }
            }
            #expect(try solve(.v0Greedy, p, total: total, minimum: minimum, maximum: maximum) == expected)
        }
    }

    /// No total takes long, whatever the probabilities.
    @Test(arguments: [AllocationObjective.neyman, .hit, .v0Greedy, .dynamo])
    func hugeTotals(_ objective: AllocationObjective) throws {
        let total = Int(Int32.max)
        for p in [[0.3, 0.2], [0, 1], [1e-300, 1e-300], [1, 0.5], [.nan, 1e-9], [1e-17, 1 - 1e-16]] {
            #expect(try solve(objective, p, total: total).reduce(0, +) == total)
            #expect(try solve(objective, p, total: total, strengths: [1e30, 0.01]).reduce(0, +) == total)
            #expect(try solve(objective, p, total: total - 5, minimum: 0, maximum: 1 << 30).reduce(0, +) == total - 5)
        }
        #expect(try solve(objective, [1, 1, 1], total: 2_000_000_000) == [666_666_667, 666_666_667, 666_666_666])
    }
}
