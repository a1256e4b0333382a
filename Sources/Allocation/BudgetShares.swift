import Estimation

/// What is left of a budget, spread over all prompts one rollout at a time to where it takes most off the noise by what is
/// known now. A prompt of which something new is known moves a few rollouts, not the whole plan: where equal gains go by
/// index the plan is unique, however one comes to it.
///
/// What seems to gain nothing anywhere is spent all the same where there is no cost: on the prompts with the fewest
/// rollouts, ties by index.
struct BudgetShares {
    /// What is known of the prompts.
    private struct Known {
        /// Gain that a rollout must exceed.
        let cost: Double
        let variances: UnsafeMutablePointer<Double>
        let rooms: UnsafeMutablePointer<Int32>
        /// Rollouts that a prompt has before its share.
        let starts: UnsafeMutablePointer<Int32>

        /// Of the rollout after `given` ones of its share. What gains nothing comes after all that gains, by rollouts.
        @inline(never)
        func gain(_ prompt: Int, _ given: Int) -> Double {
            let rollouts = Int(starts[prompt]) &+ given
            if given >= Int(rooms[prompt]) { return WinnerTree.absent }
            let gain = noiseDrop(variance: variances[prompt], after: rollouts)
            if gain > cost { return gain }
            return cost == 0 ? -1 - Double(rollouts) : WinnerTree.absent
        }
    }

    private let count: Int
    private let known: Known
    private let shares: UnsafeMutablePointer<Int32>
    private var spent = 0
    private var fill: ConcaveFill
    /// What the rollout after each prompt's share would gain.
    private var next: WinnerTree
    /// The same of the last rollout of its share, smallest first, ties by the largest index: signs and indices reversed.
    private var last: WinnerTree

    init(count: Int, cost: Double, workspace: inout Workspace) throws(Failure) {
        self.count = count
        known = Known(
            cost: cost, variances: try workspace.take(Double.self, count: count),
            rooms: try workspace.take(Int32.self, count: count), starts: try workspace.take(Int32.self, count: count))
        shares = try workspace.take(Int32.self, count: count)
        fill = try ConcaveFill(count: count, workspace: &workspace)
        next = try WinnerTree(count: count, workspace: &workspace)
        last = try WinnerTree(count: count, workspace: &workspace)
        var prompt = 0
        while prompt < count {
            shares[prompt] = 0
            prompt &+= 1
        }
    }

    subscript(prompt: Int) -> Int { Int(shares[prompt]) }

    /// What is known of a prompt. It keeps its share, as far as there is room, until `balance`.
    mutating func update(_ prompt: Int, variance: Double, start: Int, maximum: Int) {
        known.variances[prompt] = variance
        known.starts[prompt] = Int32(truncatingIfNeeded: start)
        known.rooms[prompt] = Int32(truncatingIfNeeded: maximum &- start)
        let kept = min(self[prompt], maximum &- start)
        spent &+= kept &- self[prompt]
        shares[prompt] = Int32(truncatingIfNeeded: kept)
    }

    /// Rollouts of the share that were started: they are no longer of the budget, and nothing else changes.
    mutating func start(_ prompt: Int, _ rollouts: Int) {
        let started = Int32(truncatingIfNeeded: rollouts)
        known.starts[prompt] &+= started
        known.rooms[prompt] &-= started
        shares[prompt] &-= started
        spent &-= rollouts
        weigh(prompt)
    }

    /// Of a prompt that was updated.
    @inline(never)
    mutating func weigh(_ prompt: Int) {
        next.set(prompt, known.gain(prompt, self[prompt]))
        last.set(count &- 1 &- prompt, lastKey(prompt))
    }

    /// Spreads `budget` after prompts were updated and weighed. Returns whether this took a new plan for all.
    ///
    /// - Parameter crossed: called with each prompt that has a share now and had none before, or the other way round.
    mutating func balance(_ budget: Int, crossed: (_ prompt: Int) -> Void) -> Bool {
        var moves = 0
        while moves < count {
            moves &+= 1
            let taker = next.best
            let giver = count &- 1 &- last.best
            let hasTaker = next.bestKey > WinnerTree.absent
            let hasGiver = last.bestKey > WinnerTree.absent
            // What no longer exceeds the cost is given back, whatever there is left.
            let gainsNothing = last.bestKey == -WinnerTree.absent
            if hasGiver && (spent > budget || gainsNothing) {
                change(giver, by: -1, crossed)
            } else if spent < budget && hasTaker {
                change(taker, by: 1, crossed)
            } else if hasTaker && hasGiver && precedes(taker, giver) {
                change(giver, by: -1, crossed)
                change(taker, by: 1, crossed)
            } else {
                return false
            }
        }
        if count > 0 { planAnew(budget) }
        return true
    }

    /// Spreads `budget` over prompts that were updated, weighed or not.
    mutating func planAnew(_ budget: Int) {
        let known = known
        let given = fill.given
        let left = fill.spend(
            budget,
            rolloutsAbove: { prompt, threshold in
                noiseDropsAbove(
                    max(threshold, known.cost), variance: known.variances[prompt], from: Int(known.starts[prompt]),
                    most: Int(known.rooms[prompt]))
            },
            gain: { max(0, known.gain($0, $1)) })
        if known.cost == 0 {
            _ = fillByLevel(
                left, promptCount: count, highest: Int(Int32.max),
                amount: { prompt, level in
                    let used = Int(truncatingIfNeeded: given[prompt])
                    return max(0, min(level &- Int(known.starts[prompt]), Int(known.rooms[prompt])) &- used)
                },
                give: { given[$0] &+= Int64(truncatingIfNeeded: $1) })
        }
        spent = 0
        var prompt = 0
        while prompt < count {
            shares[prompt] = Int32(truncatingIfNeeded: given[prompt])
            spent &+= self[prompt]
            next.put(prompt, known.gain(prompt, self[prompt]))
            last.put(count &- 1 &- prompt, lastKey(prompt))
            prompt &+= 1
        }
        next.rebuild()
        last.rebuild()
    }

    private func lastKey(_ prompt: Int) -> Double {
        shares[prompt] > 0 ? -known.gain(prompt, self[prompt] &- 1) : WinnerTree.absent
    }

    private func precedes(_ taker: Int, _ giver: Int) -> Bool {
        let gained = next.bestKey
        let lost = -last.bestKey
        return gained > lost || (gained == lost && taker < giver)
    }

    private mutating func change(_ prompt: Int, by rollouts: Int, _ crossed: (_ prompt: Int) -> Void) {
        shares[prompt] &+= Int32(truncatingIfNeeded: rollouts)
        spent &+= rollouts
        weigh(prompt)
        if self[prompt] == max(0, rollouts) { crossed(prompt) }
    }
}
