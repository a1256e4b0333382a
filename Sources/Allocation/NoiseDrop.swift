/// variance / (k (k + 1)): what the rollout after k takes off the noise of a prompt's gradient.
func noiseDrop(variance: Double, after rollouts: Int) -> Double {
    let k = Double(rollouts)
    return k > 0 ? variance / (k * (k + 1)) : (variance > 0 ? .infinity : 0)
}

/// Rollouts beyond `from` whose noise drop exceeds a threshold, at most `most`.
@inline(never) func noiseDropsAbove(_ threshold: Double, variance: Double, from: Int, most: Int) -> Int {
    if most <= 0 || variance <= 0 { return 0 }
    // k (k + 1) < variance / threshold: exact but for rounding.
    let bound = (variance / threshold).squareRoot() - Double(from)
    let guess = bound < Double(most) ? Int(exactly: bound.rounded(.towardZero)) ?? 0 : most
    return lengthOfRun(near: guess, most: most) { noiseDrop(variance: variance, after: from &+ $0) > threshold }
}
