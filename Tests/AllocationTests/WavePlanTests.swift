import Estimation
import SeededRandom
import Testing
@testable import Allocation

struct WavePlanTests {
    /// One result or failure at a time: the plan that was kept up to date is the one that is made anew of the same state.
    @Test(arguments: [AllocationRule.osla, .neyman], [-1, 500, 1000])
    func keptUpToDate(_ rule: AllocationRule, _ budget: Int) throws {
        var random = SeededRandom(UInt64(budget + 2))
        let count = 60
        for cost in [Double.nan, 0, 0.004] {
            let priors = (0..<count).map { _ in
                Double.random(in: 0...1, using: &random) < 0.2 ? Double.nan : Double.random(in: 0...1, using: &random)
            }
            let success = (0..<count).map { _ in [0, 0.1, 0.5, 1].randomElement(using: &random)! }
            var allocator = try SequentialAllocator.make(count, priors: priors) {
                ($0.rule, $0.budget, $0.cost, $0.wave) = (rule, budget, cost, 3)
            }
            defer { allocator.release() }
            var flying: [Int64] = []
            func take(_ counts: [Int64]) {
                for (prompt, more) in counts.enumerated() {
                    flying += [Int64](repeating: Int64(prompt), count: Int(more))
                }
            }
            take(allocator.request())
            var steps = 0
            while !allocator.isDone {
                let prompt = flying.remove(at: Int.random(in: 0..<flying.count, using: &random))
                if steps % 40 == 7 {
                    try allocator.cancel([prompt], count: 1)
                } else {
                    try allocator.observe(
                        [prompt], [Double.random(in: 0...1, using: &random) < success[Int(prompt)] ? 1 : 0], count: 1)
                }
                if steps % 17 == 0 {
                    var anew = try SequentialAllocator(loading: allocator.saved)
                    defer { anew.release() }
                    try #require(anew.isDone == allocator.isDone)
                    let counts = allocator.request()
                    try #require(anew.request() == counts)
                    take(counts)
                }
                steps += 1
                if flying.isEmpty { take(allocator.request()) }
            }
            #expect(steps > count * 4)
            #expect(budget < 0 || allocator.observationCount <= budget)
        }
    }

    @Test func budgetsBeyondCounting() throws {
        var allocator = try SequentialAllocator.make(3) {
            ($0.rule, $0.budget, $0.maximum, $0.wave) = (.neyman, Int(Int32.max), Int(Int32.max), Int(Int32.max))
        }
        defer { allocator.release() }
        #expect(allocator.request() == [4, 4, 4])
        try allocator.observe([0, 0, 0, 0], [0, 0, 0, 0], count: 4)
        try allocator.observe([1, 1, 1, 1], [0, 1, 0, 1], count: 4)
        let counts = allocator.request()
        #expect(counts[2] == 0 && counts[1] > 1_000_000 && counts.reduce(0, +) < Int64(Int32.max) - 12)
    }

    /// What gains nothing goes to the prompts with the fewest rollouts.
    @Test func nothingToGain() throws {
        var options = SequentialAllocator.Options()
        (options.rule, options.budget) = (.neyman, 14)
        var allocator = try SequentialAllocator(
            options: options, calibration: nil, count: 3, priors: nil, initials: [1, 3, 2], maxima: [16, 16, 16])
        defer { allocator.release() }
        #expect(allocator.request() == [1, 3, 2])
        try allocator.observe([0, 1, 1, 1, 2, 2], [1, 1, 1, 1, 1, 1], count: 6)
        var started = [1, 3, 2]
        while !allocator.isDone {
            for (prompt, more) in allocator.request().enumerated() where more > 0 {
                started[prompt] += Int(more)
                try allocator.observe(
                    [Int64](repeating: Int64(prompt), count: Int(more)), [Double](repeating: 1, count: Int(more)),
                    count: Int(more))
            }
        }
        #expect(started == [5, 5, 4])
    }
}
