/// Two-sided exact binomial test: the probability, under H0 with success probability `probability`, of an
/// outcome that is at most as likely as the one seen (minimum-likelihood method, as scipy.stats.binomtest,
/// with the same tolerance of 1e-7 on ties).
///
/// Likelihoods are taken relative to the most likely outcome and follow from each other by their ratio, so
/// that no logarithm or gamma function is needed; far tails underflow to 0, which is their weight in the sum.
///
/// - Parameters: `successes` in 0...trials; `probability` in [0, 1].
/// - Returns: a number in [0, 1]; 1 where there is no trial. Time is linear in `trials`.
public func binomialTest(successes: Int, trials: Int, probability: Double) -> Double {
    if trials <= 0 { return 1 }
    if probability <= 0 { return successes == 0 ? 1 : 0 }
    if probability >= 1 { return successes == trials ? 1 : 0 }
    let odds = probability / (1 - probability)
    let mode = likeliestOutcome(trials: trials, probability: probability)
    let seen = relativeLikelihood(of: successes, mode: mode, trials: trials, odds: odds)
    let threshold = seen * (1 + 1e-7)

    var total = 1.0
    var tail = 1 <= threshold ? 1.0 : 0.0
    var likelihood = 1.0
    var outcome = mode
    while outcome > 0 && likelihood > 0 {
        likelihood *= stepDown(from: outcome, trials: trials, odds: odds)
        outcome &-= 1
        total += likelihood
        if likelihood <= threshold { tail += likelihood }
    }
    likelihood = 1
    outcome = mode
    while outcome < trials && likelihood > 0 {
        likelihood /= stepDown(from: outcome &+ 1, trials: trials, odds: odds)
        outcome &+= 1
        total += likelihood
        if likelihood <= threshold { tail += likelihood }
    }
    let value = tail / total
    return value < 1 ? value : 1
}

private func likeliestOutcome(trials: Int, probability: Double) -> Int {
    let position = (Double(trials) + 1) * probability
    // Below trials in any case, so the conversion cannot fail; it rounds down.
    return position < Double(trials) ? (Int(exactly: position.rounded(.towardZero)) ?? trials) : trials
}

private func relativeLikelihood(of successes: Int, mode: Int, trials: Int, odds: Double) -> Double {
    var likelihood = 1.0
    var outcome = mode
    while outcome > successes && likelihood > 0 {
        likelihood *= stepDown(from: outcome, trials: trials, odds: odds)
        outcome &-= 1
    }
    while outcome < successes && likelihood > 0 {
        likelihood /= stepDown(from: outcome &+ 1, trials: trials, odds: odds)
        outcome &+= 1
    }
    return likelihood
}

/// P(outcome - 1) / P(outcome).
@inline(__always)
private func stepDown(from outcome: Int, trials: Int, odds: Double) -> Double {
    Double(outcome) / (Double(trials &- outcome &+ 1) * odds)
}
