import CV05
import SeededRandom
import Testing

struct AllocationTests {
    /// A problem whose arrays can be handed to v05_allocation_solve.
    private struct Problem {
        var options = v05_allocation_options.defaults
        var probability: [Double]
        var seen: [Int64]?
        var strength: [Double]?
        var total: Int64

        func solve() throws -> [Int64] {
            let memory = Memory()
            let counts = memory.output(Int64.self, probability.count)
            let outcome = Outcome { solve(memory, counts, $0) }
            try #require(outcome.isOK, "\(outcome.message)")
            return Array(UnsafeBufferPointer(start: counts, count: probability.count))
        }

        func solve(_ memory: Memory, _ counts: UnsafeMutablePointer<Int64>?, _ error: UnsafeMutablePointer<v05_error>?)
            -> v05_status
        {
            v05_allocation_solve(
                memory.input(options), Int64(probability.count), memory.input(probability),
                seen.map { memory.input($0) },
                strength.map { memory.input($0) }, total, counts, error)
        }

        func expectRefusal(
            _ status: v05_status, _ parts: String..., index: Int64? = nil,
            sourceLocation: SourceLocation = #_sourceLocation
        ) {
            let outputs = Memory(), inputs = Memory()
            let counts = outputs.output(Int64.self, probability.count)
            Outcome.expectRefusal(status, parts, index: index, in: outputs, sourceLocation: sourceLocation) {
                solve(inputs, counts, $0)
            }
        }
    }

    @Test(
        arguments: [
            V05_OBJECTIVE_NEYMAN, V05_OBJECTIVE_DYNAMO, V05_OBJECTIVE_V0, V05_OBJECTIVE_V0_GREEDY, V05_OBJECTIVE_HIT,
        ].map(\.rawValue))
    func exactTotalsWithinBounds(_ objective: UInt32) throws {
        var random = SeededRandom(1)
        for count in [1, 2, 7, 20] {
            for (minimum, maximum) in [(0, 5), (1, 16), (4, 4), (2, 30)] as [(Int64, Int64)] {
                var problem = Problem(
                    probability: (0..<count).map { _ in Double.random(in: 0...1, using: &random) }, total: 0)
                problem.probability[0] = [0, 1, .nan, 0.5].randomElement(using: &random)!
                problem.options.objective = Int32(objective)
                (problem.options.minimum, problem.options.maximum) = (minimum, maximum)
                problem.seen =
                    Bool.random(using: &random) ? nil : (0..<count).map { _ in Int64.random(in: 0...9, using: &random) }
                problem.strength =
                    Bool.random(using: &random)
                    ? nil : (0..<count).map { _ in Double.random(in: 0...9, using: &random) }
                for total in Set([minimum, (minimum + maximum) / 2, maximum].map { $0 * Int64(count) }) {
                    problem.total = total
                    let counts = try problem.solve()
                    #expect(counts.reduce(0, +) == total)
                    // DynaMO meets the needs of prompts hardly seen before the floor of the others.
                    let floor = objective == V05_OBJECTIVE_DYNAMO.rawValue ? 0 : minimum
                    #expect(counts.allSatisfy { $0 >= floor && $0 <= maximum }, "\(problem) \(counts)")
                }
            }
        }
    }

    /// The best of all ways to spread the rollouts.
    @Test func exactOptima() throws {
        func best(_ probability: [Double], _ total: Int, _ gain: (Double, Int) -> Double) -> Double {
            var best = -Double.infinity
            func spread(_ prompt: Int, _ left: Int, _ sum: Double) {
                if prompt == probability.count - 1 {
                    best = max(best, sum + gain(probability[prompt], left))
                } else {
                    for rollouts in 1...(left - (probability.count - 1 - prompt)) {
                        spread(prompt + 1, left - rollouts, sum + gain(probability[prompt], rollouts))
                    }
                }
            }
            spread(0, total, 0)
            return best
        }
        func power(_ base: Double, _ exponent: Int) -> Double {
            (0..<exponent).reduce(1) { product, _ in product * base }
        }
        let objectives: [(v05_objective, (Double, Int) -> Double)] = [
            (V05_OBJECTIVE_NEYMAN, { -$0 * (1 - $0) / Double($1) }),
            (V05_OBJECTIVE_HIT, { 1 - power(1 - $0, $1) }),
            (V05_OBJECTIVE_V0, { Double($1) * (1 - $0) * (1 - power(1 - $0, $1 - 1)) }),
        ]
        var random = SeededRandom(2)
        for (objective, gain) in objectives {
            for count in 2...4 {
                for total in [count, count + 3, 12] {
                    var problem = Problem(
                        probability: (0..<count).map { _ in Double.random(in: 0.01...0.99, using: &random) },
                        total: Int64(total))
                    problem.options.objective = Int32(objective.rawValue)
                    let found = zip(problem.probability, try problem.solve()).map { gain($0, Int($1)) }.reduce(0, +)
                    #expect(found >= best(problem.probability, total, gain) - 1e-12)
                }
            }
        }
    }

    @Test func nothingToSpread() {
        #expect(Outcome { v05_allocation_solve(nil, 0, nil, nil, nil, 0, nil, $0) }.isOK)
        #expect(Outcome { v05_allocation_solve(nil, 0, nil, nil, nil, 3, nil, $0) }.status != V05_STATUS_OK)
    }

    @Test func refusals() {
        let memory = Memory()
        let probability = memory.input([0.5, 0.5])
        let counts = memory.output(Int64.self, 2)
        Outcome.expectRefusal(V05_STATUS_NULL_POINTER, ["probability"], in: memory) {
            v05_allocation_solve(nil, 2, nil, nil, nil, 4, counts, $0)
        }
        Outcome.expectRefusal(V05_STATUS_NULL_POINTER, ["counts"], in: memory) {
            v05_allocation_solve(nil, 2, probability, nil, nil, 4, nil, $0)
        }
        for count in [-1, .min, 2_147_483_648, .max] as [Int64] {
            Outcome.expectRefusal(V05_STATUS_INVALID_SIZE, ["prompt_count", "got \(count)"], in: memory) {
                v05_allocation_solve(nil, count, probability, nil, nil, 4, counts, $0)
            }
        }
        func refuse(
            _ status: v05_status, _ part: String, _ value: String, index: Int64? = nil,
            sourceLocation: SourceLocation = #_sourceLocation, _ change: (inout Problem) -> Void
        ) {
            var problem = Problem(probability: [0.5, 0.25, 0.75], total: 12)
            change(&problem)
            problem.expectRefusal(status, part, "got \(value)", index: index, sourceLocation: sourceLocation)
        }
        refuse(V05_STATUS_INVALID_OPTION, "objective", "5") { $0.options.objective = 5 }
        refuse(V05_STATUS_INVALID_OPTION, "objective", "-1") { $0.options.objective = -1 }
        refuse(V05_STATUS_INVALID_OPTION, "minimum", "-1") { $0.options.minimum = -1 }
        refuse(V05_STATUS_INVALID_OPTION, "maximum", "2 and 3") { ($0.options.minimum, $0.options.maximum) = (3, 2) }
        refuse(V05_STATUS_INVALID_OPTION, "maximum", "9223372036854775807") { $0.options.maximum = .max }
        refuse(V05_STATUS_INVALID_OPTION, "priority", "3") { $0.options.priority = 3 }
        refuse(V05_STATUS_INVALID_OPTION, "exponent", "0.5") { $0.options.exponent = 0.5 }
        refuse(V05_STATUS_INVALID_OPTION, "exponent", "2") { $0.options.exponent = 2 }
        refuse(V05_STATUS_INVALID_OPTION, "exponent", "nan") { $0.options.exponent = .nan }
        refuse(V05_STATUS_INFEASIBLE, "total", "2 and 3") { $0.total = 2 }
        refuse(V05_STATUS_INFEASIBLE, "total", "12 and 9") { $0.options.maximum = 3 }
        refuse(V05_STATUS_INVALID_SIZE, "total", "-1") { $0.total = -1 }
        refuse(V05_STATUS_INVALID_SIZE, "total", "9223372036854775807") { $0.total = .max }
        refuse(V05_STATUS_INVALID_PROBABILITY, "probability[1]", "1.5", index: 1) { $0.probability[1] = 1.5 }
        refuse(V05_STATUS_INVALID_PROBABILITY, "probability[2]", "-inf", index: 2) { $0.probability[2] = -.infinity }
        refuse(V05_STATUS_INVALID_SIZE, "seen[0]", "-1", index: 0) { $0.seen = [-1, 0, 0] }
        refuse(V05_STATUS_INVALID_PRIOR, "strength[2]", "nan", index: 2) { $0.strength = [1, 1, .nan] }
        refuse(V05_STATUS_INVALID_PRIOR, "strength[0]", "-1", index: 0) { $0.strength = [-1, 1, 1] }
    }
}
