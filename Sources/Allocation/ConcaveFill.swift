import Estimation

/// Spends a total one rollout at a time on the prompt that gains most by its next one, ties by index, where gains never
/// rise with a prompt's rollouts: the exact optimum. All rollouts that gain more than a threshold go out at once; the
/// threshold is searched for.
struct ConcaveFill {
    private let count: Int
    /// Rollouts that each prompt is given.
    let given: UnsafeMutablePointer<Int64>
    /// What the next rollout of each would gain; absent: nothing.
    private(set) var next: WinnerTree

    init(count: Int, workspace: inout Workspace) throws(Failure) {
        self.count = count
        given = try workspace.take(Int64.self, count: count)
        next = try WinnerTree(count: count, workspace: &workspace)
    }

    /// - Parameters:
    ///   - rolloutsAbove: how many more rollouts of a prompt gain more than a threshold, at most its room.
    ///   - gain: of the rollout after those given, not above 0 where there is no room.
    /// - Returns: what is left because no further rollout gains anything.
    mutating func spend(
        _ total: Int, rolloutsAbove: (_ prompt: Int, _ threshold: Double) -> Int,
        gain: (_ prompt: Int, _ given: Int) -> Double
    ) -> Int {
        var prompt = 0
        while prompt < count {
            given[prompt] = 0
            prompt &+= 1
        }
        weighNext(gain)
        if total <= 0 || !(next.bestKey > 0) { return total }
        /// Rollouts that gain more than a threshold; estimated where they are more than the total.
        func demand(above threshold: Double) -> Double {
            var sum = 0
            var prompt = 0
            while prompt < count && sum <= total {
                let wanted = rolloutsAbove(prompt, threshold)
                given[prompt] = Int64(truncatingIfNeeded: wanted)
                sum &+= wanted
                prompt &+= 1
            }
            return sum <= total ? Double(sum) : Double(sum) * (Double(count) / Double(prompt))
        }
        // Demand is not above the total at high, and above it at low. Positive doubles are ordered like their bit patterns.
        let most = Double(total)
        var high = next.bestKey.bitPattern
        var highDemand = 0.0
        var low = high
        var lowDemand = 0.0
        var octaves: UInt64 = 1
        while lowDemand <= most {
            (high, highDemand) = (low, lowDemand)
            if high == 0 { break }
            low = high > octaves &<< 52 ? high &- octaves &<< 52 : 0
            octaves = min(2 &* octaves, 1024)
            lowDemand = demand(above: Double(bitPattern: low))
        }
        var interpolates = true
        while low &+ 1 < high && most - highDemand > Double(count / 8) {
            let distance = high &- low
            var step = distance / 2
            if interpolates {
                // Where demand would meet the total if it rose evenly.
                let part = (most - highDemand) / (lowDemand - highDemand)
                step = UInt64(exactly: (part * Double(distance)).rounded(.down)) ?? step
            }
            let middle = high &- max(1, min(step, distance &- 1))
            let wanted = demand(above: Double(bitPattern: middle))
            if wanted > most { (low, lowDemand) = (middle, wanted) } else { (high, highDemand) = (middle, wanted) }
            // Halving as often as interpolation is of little help.
            interpolates = !interpolates || (high &- low) < distance / 4
        }
        var left = total &- (Int(exactly: demand(above: Double(bitPattern: high))) ?? total)
        if high > low && left > count / 8 { left = giveTies(left) { rolloutsAbove($0, Double(bitPattern: low)) } }
        weighNext(gain)
        while left > 0 && next.bestKey > 0 {
            let best = next.best
            given[best] &+= 1
            left &-= 1
            next.set(best, key(gain(best, Int(truncatingIfNeeded: given[best]))))
        }
        return left
    }

    /// Rollouts that all gain the same go to the first prompts.
    private func giveTies(_ total: Int, tied: (_ prompt: Int) -> Int) -> Int {
        var left = total
        var prompt = 0
        while prompt < count && left > 0 {
            let granted = max(0, min(tied(prompt) &- Int(truncatingIfNeeded: given[prompt]), left))
            given[prompt] &+= Int64(truncatingIfNeeded: granted)
            left &-= granted
            prompt &+= 1
        }
        return left
    }

    private mutating func weighNext(_ gain: (_ prompt: Int, _ given: Int) -> Double) {
        var prompt = 0
        while prompt < count {
            next.put(prompt, key(gain(prompt, Int(truncatingIfNeeded: given[prompt]))))
            prompt &+= 1
        }
        next.rebuild()
    }

    private func key(_ gain: Double) -> Double { gain > 0 ? gain : WinnerTree.absent }
}
