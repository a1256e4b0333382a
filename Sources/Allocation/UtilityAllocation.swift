import Estimation

/// V_0's utility of B rollouts of a prompt, U(B, p) = B (1 - p) (1 - (1 - p)^(B - 1)) (arXiv 2602.03584).
///
/// For p <= 1/2 it rises ever faster at first, so that a one-step greedy can be wrong; its exact maximum comes from
/// dynamic programming over prompts and rollouts spent.
struct UtilityAllocation {
    private let problem: AllocationProblem

    init(_ problem: AllocationProblem) { self.problem = problem }

    private func utility(_ prompt: Int, _ rollouts: Int) -> Double {
        if rollouts < 1 { return 0 }
        let failure = 1 - problem.probability(prompt)
        return Double(rollouts) * failure * (1 - power(failure, rollouts &- 1))
    }

    /// Steps of the dynamic programme beyond which it is refused: about ten seconds.
    private static var mostSteps: Double { 4e9 }

    /// Of all best allocations the one that gives later prompts least.
    func solve(_ counts: UnsafeMutablePointer<Int64>, workspace: inout Workspace) throws(Failure) {
        let budget = problem.total &- problem.count &* problem.minimum
        let width = min(problem.maximum &- problem.minimum, budget)
        let cells = Double(problem.count) * (Double(budget) + 1)
        guard cells * (Double(width) + 1) <= UtilityAllocation.mostSteps && cells <= 2e8 else {
            throw Failure(
                .infeasible,
                "total must keep prompts * total * (maximum - minimum) at most 4e9 for v0 (v0_greedy takes any)",
                integer: problem.total)
        }
        var best = try workspace.take(Double.self, count: budget &+ 1)
        var next = try workspace.take(Double.self, count: budget &+ 1)
        let gains = try workspace.take(Double.self, count: width &+ 1)
        let choices = try workspace.take(Int32.self, count: problem.count &* (budget &+ 1))
        var spent = 0
        while spent <= budget {
            best[spent] = spent == 0 ? 0 : -.infinity
            spent &+= 1
        }
        var prompt = 0
        while prompt < problem.count {
            var extra = 0
            while extra <= width {
                gains[extra] = utility(prompt, problem.minimum &+ extra)
                extra &+= 1
            }
            let choice = choices + prompt &* (budget &+ 1)
            spent = 0
            while spent <= budget {
                var value = -Double.infinity
                var chosen: Int32 = 0
                extra = 0
                let most = min(width, spent)
                while extra <= most {
                    let candidate = best[spent &- extra] + gains[extra]
                    if candidate > value {
                        value = candidate
                        chosen = Int32(truncatingIfNeeded: extra)
                    }
                    extra &+= 1
                }
                next[spent] = value
                choice[spent] = chosen
                spent &+= 1
            }
            swap(&best, &next)
            prompt &+= 1
        }
        var left = budget
        prompt = problem.count
        while prompt > 0 {
            prompt &-= 1
            let extra = Int(truncatingIfNeeded: choices[prompt &* (budget &+ 1) &+ left])
            counts[prompt] = Int64(truncatingIfNeeded: problem.minimum &+ extra)
            left &-= extra
        }
    }
}
