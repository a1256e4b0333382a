/// The mean of a group moved towards the mean of the other groups, as far as these say (JSPO, arXiv 2511.03710): whatever
/// stands here knows nothing of the group's own rewards.
struct Shrinkage {
    /// M: mean of the means of the other groups.
    let center: Double
    /// v: mean of their sampling variances.
    let variance: Double
    /// s: mean squared deviation of their means from M.
    let spread: Double
    /// v / (v + s + epsilon): how far a mean is moved.
    let share: Double

    init(center: Double, variance: Double, spread: Double, epsilon: Double) {
        self.center = center
        self.variance = variance
        self.spread = spread
        let all = variance + spread + epsilon
        share = all > 0 ? variance / all : 0
    }

    @inline(never)
    func baseline(_ sample: Sample) -> Baseline {
        let between = max(0, spread - variance)
        if sample.count == 0 { return Baseline(weight: 0, value: center, mse: between) }
        let weight = 1 - share
        return Baseline(
            weight: weight, value: Baseline.between(center, sample.center, at: weight),
            mse: weight * weight * variance + share * share * between)
    }
}
