/// The mean of the rewards of all other groups of a batch (method section 14), which knows nothing of the group's own.
///
/// With fewer than eight others, a mean from earlier batches stands in for each that lacks.
struct OtherGroups {
    private let groups: UnsafePointer<GroupSummary>
    private let groupCount: Int
    private let isWeighted: Bool
    private let earlier: Double?
    private var rewards = ReproducibleSum(count: 1, largest: 0)
    private var weights = ReproducibleSum(count: 1, largest: 0)
    private var counted = 0
    /// The group with the largest sum, and that with the largest weight, if there is just one: beside it the others may be
    /// too small to be found by taking it away.
    private var largest = -1
    private var heaviest = -1

    /// - Parameter earlier: the mean of earlier batches.
    init(_ groups: UnsafePointer<GroupSummary>, groupCount: Int, isWeighted: Bool, earlier: Double?) {
        self.groups = groups
        self.groupCount = groupCount
        self.isWeighted = isWeighted
        self.earlier = earlier
        var group = 0
        while group < groupCount {
            if groups[group].count > 0 { counted &+= 1 }
            group &+= 1
        }
        largest = only { sum(of: $0).magnitude }
        heaviest = only { weight(of: $0) }
        (rewards, weights) = sums(without: -1)
    }

    /// Whether the mean of earlier batches has a part in the baselines.
    var usesEarlier: Bool { earlier != nil && Double(counted) <= Calibration.fewestGroups }

    func baseline(of group: Int) -> Baseline {
        let own = groups[group].count > 0
        let others = own ? counted &- 1 : counted
        var mean = Double.nan
        if others > 0 {
            if own && (group == largest || group == heaviest) {
                let (rewards, weights) = sums(without: group)
                mean = rewards.value / weights.value
            } else if own {
                mean =
                    ((rewards.high - sum(of: group)) + rewards.low) / ((weights.high - weight(of: group)) + weights.low)
            } else {
                mean = rewards.value / weights.value
            }
        }
        let lacking = Calibration.fewestGroups - Double(others)
        if let earlier, lacking > 0 {
            let known = others > 0 ? Double(others) * mean : 0
            mean = (known + lacking * earlier) / Calibration.fewestGroups
        }
        return Baseline(weight: 0, value: mean, mse: .nan)
    }

    private func sum(of group: Int) -> Double {
        let summary = groups[group]
        if summary.count == 0 { return 0 }
        return isWeighted ? weight(of: group) * summary.mean : summary.sumHigh + summary.sumLow
    }

    private func weight(of group: Int) -> Double { groups[group].unit * groups[group].effectiveCount }

    private func only(_ size: (Int) -> Double) -> Int {
        var found = -1
        var most = 0.0
        var group = 0
        while group < groupCount {
            let here = size(group)
            if here > most {
                most = here
                found = group
            } else if here == most {
                found = -1
            }
            group &+= 1
        }
        return found
    }

    private func sums(without excluded: Int) -> (rewards: ReproducibleSum, weights: ReproducibleSum) {
        var mostReward = 0.0
        var mostWeight = 0.0
        var group = 0
        while group < groupCount {
            if group != excluded {
                mostReward = max(mostReward, sum(of: group).magnitude)
                mostWeight = max(mostWeight, weight(of: group))
            }
            group &+= 1
        }
        var rewards = ReproducibleSum(count: groupCount, largest: mostReward)
        var weights = ReproducibleSum(count: groupCount, largest: mostWeight)
        group = 0
        while group < groupCount {
            if group != excluded {
                rewards.add(sum(of: group))
                weights.add(weight(of: group))
            }
            group &+= 1
        }
        return (rewards, weights)
    }
}
