import CLibrary
import Estimation

/// E[p (1 - p)^l], the chance that a prompt's first success is the rollout after l failures, for p known exactly or Beta
/// distributed (arXiv 2605.07114):
///
///     E[p] product of (b + j) / (s + j + 1) over j = 0 ... l - 1,   s: strength,   b = s (1 - E[p])
///
/// The first factors are multiplied one by one, the rest is a quotient of Gamma functions.
struct HitGains {
    private let problem: AllocationProblem
    /// Of each prompt after `knee` rollouts.
    private let atKnee: UnsafeMutablePointer<Double>

    private static var knee: Int { 64 }

    init(_ problem: AllocationProblem, workspace: inout Workspace) throws(Failure) {
        self.problem = problem
        atKnee = try workspace.take(Double.self, count: problem.count)
        let isNeeded = problem.maximum > HitGains.knee
        var prompt = 0
        while prompt < problem.count {
            atKnee[prompt] = isNeeded ? oneByOne(HitGains.knee, of: prompt) : 0
            prompt &+= 1
        }
    }

    @inline(never)
    func after(_ rollouts: Int, of prompt: Int) -> Double {
        if rollouts <= HitGains.knee { return oneByOne(rollouts, of: prompt) }
        let start = atKnee[prompt]
        let more = rollouts &- HitGains.knee
        guard let strength = problem.strength(prompt) else {
            return start * power(1 - problem.probability(prompt), more)
        }
        let success = strength * problem.probability(prompt) + 1
        let failure = strength - (success - 1) + Double(HitGains.knee)
        return start > 0 ? start * exponential(logarithmOfDrop(from: failure, success, Double(more))) : 0
    }

    /// Rollouts beyond the minimum whose gain exceeds a threshold, at most `most`.
    func rolloutsAbove(_ threshold: Double, of prompt: Int, most: Int) -> Int {
        let minimum = problem.minimum
        let small = max(0, min(most, HitGains.knee &- minimum))
        if small > 0 {
            var gain = oneByOne(minimum, of: prompt)
            var rollouts = 0
            while rollouts < small && gain > threshold {
                gain *= ratio(prompt, after: minimum &+ rollouts)
                rollouts &+= 1
            }
            if rollouts < small || small == most { return rollouts }
        }
        let guess = distance(prompt, to: threshold) &+ HitGains.knee &- minimum
        return small
            &+ lengthOfRun(near: guess &- small, most: most &- small) {
                after(minimum &+ small &+ $0, of: prompt) > threshold
            }
    }

    private func oneByOne(_ rollouts: Int, of prompt: Int) -> Double {
        var gain = problem.probability(prompt)
        var rollout = 0
        while rollout < rollouts && gain > 0 {
            gain *= ratio(prompt, after: rollout)
            rollout &+= 1
        }
        return gain
    }

    private func ratio(_ prompt: Int, after rollouts: Int) -> Double {
        let failure = 1 - problem.probability(prompt)
        guard let strength = problem.strength(prompt) else { return failure }
        return (failure * strength + Double(rollouts)) / (strength + Double(rollouts) + 1)
    }

    /// About how many rollouts beyond the knee the gain is above a threshold.
    private func distance(_ prompt: Int, to threshold: Double) -> Int {
        let drop = atKnee[prompt] / threshold
        guard drop > 1 && drop < .infinity else { return drop > 1 ? problem.maximum : 0 }
        let p = problem.probability(prompt)
        var rollouts = log1p(drop - 1) / -log1p(-p)
        if let strength = problem.strength(prompt) {
            // The quotient of Gamma functions falls like a power.
            let center = Double(HitGains.knee) + strength * (1 - p / 2)
            rollouts = center * expm1(log1p(drop - 1) / (strength * p + 1))
        }
        return rollouts < Double(problem.maximum) ? Int(exactly: rollouts.rounded(.down)) ?? 0 : problem.maximum
    }
}

/// log of the product of (x + j) / (x + d + j) over j = 0 ... m - 1, which is log Γ(x + m) Γ(x + d) / (Γ(x) Γ(x + d + m)),
/// by Stirling's series with what cancels taken out. For x of 64 and more, to 1e-14 of the smaller of d and m.
private func logarithmOfDrop(from x: Double, _ first: Double, _ second: Double) -> Double {
    let d = min(first, second)
    let m = max(first, second)
    let y = x + d
    let trunk = (x + m) * log1p(-d / (y + m)) - x * log1p(-d / y) - d * log1p(m / y)
    return trunk - log1p(m / x * (d / (y + m))) / 2 + (stirling(x + m) - stirling(y + m)) - (stirling(x) - stirling(y))
}

/// What Stirling's series adds to log Γ.
private func stirling(_ x: Double) -> Double {
    let square = x * x
    return (1 / 12 - (1 / 360 - 1 / (1260 * square)) / square) / x
}

/// e^x for x <= 0.
private func exponential(_ x: Double) -> Double {
    var part = x
    var squarings = 0
    while part < -1 && squarings < 10 {
        part /= 2
        squarings &+= 1
    }
    var result = 1 + expm1(max(part, -1))
    if part < -1 { return 0 }
    while squarings > 0 {
        result *= result
        squarings &-= 1
    }
    return result
}
