/// What a rollout adds to V_0's utility U(B, p) = B q (1 - q^(B - 1)), q = 1 - p (arXiv 2602.03584):
///
///     U(B + 1) - U(B) = q (1 - q^B) + B p q^B
///
/// It rises to a peak and falls from there to q. A greedy that has begun on a prompt goes on while increments rise, so
/// that it takes prompts in the order of the smallest increment up to there.
struct UtilityGain {
    let success: Double

    func after(_ rollouts: Int) -> Double {
        let failure = 1 - success
        let power = power(failure, rollouts)
        return failure * (1 - power) + Double(rollouts) * success * power
    }

    /// The smallest of `from` ... `to`, which is at one of the ends.
    func smallest(from: Int, to: Int) -> Double { min(after(from), after(to)) }

    /// Rollouts after `from` up to the first whose increment is not above a threshold, at most `most`.
    func rolloutsAbove(_ threshold: Double, from: Int, most: Int) -> Int {
        if !(after(from) > threshold) { return 0 }
        let peak = (1 - success) / success
        let rising = peak < Double(from &+ most) ? max(0, (Int(exactly: peak.rounded(.down)) ?? 0) &- from) : most
        return rising &+ lengthOfRun(near: 0, most: most &- rising) { after(from &+ rising &+ $0) > threshold }
    }
}
