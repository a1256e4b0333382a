import Estimation

/// DynaMO's allocation, step for step as its authors run it (method section 7): first up to 4 rollouts for prompts
/// that were hardly seen, then the minimum for all, then in proportion to the spread of the rewards.
struct DynamoAllocation {
    private let problem: AllocationProblem
    private let priorities: UnsafeMutablePointer<Double>
    private let open: UnsafeMutablePointer<Double>
    private let needs: UnsafeMutablePointer<Int64>
    private let shares: UnsafeMutablePointer<Int64>
    private let fractions: UnsafeMutablePointer<Int64>
    private var sort: RadixSort

    /// Prompts of smaller priority get nothing beyond the minimum as long as others have room.
    private static var smallestPriority: Double { 1e-8 }
    private static var initialRollouts: Int { 4 }

    init(_ problem: AllocationProblem, workspace: inout Workspace) throws(Failure) {
        self.problem = problem
        priorities = try workspace.take(Double.self, count: problem.count)
        open = try workspace.take(Double.self, count: problem.count)
        needs = try workspace.take(Int64.self, count: problem.count)
        shares = try workspace.take(Int64.self, count: problem.count)
        fractions = try workspace.take(Int64.self, count: problem.count)
        sort = try RadixSort(count: problem.count, workspace: &workspace)
    }

    func solve(_ counts: UnsafeMutablePointer<Int64>) {
        var prompt = 0
        while prompt < problem.count {
            priorities[prompt] = priority(prompt)
            prompt &+= 1
        }
        var left = meetNeeds(counts)
        left = raiseToMinimum(counts, left)
        shareInProportion(counts, left)
    }

    private func priority(_ prompt: Int) -> Double {
        let p = problem.probability(prompt)
        let isKnown = !problem.probabilities[prompt].isNaN
        switch problem.priority {
        case .official:
            if !isKnown || problem.seen?[prompt] == 0 { return 1 }
            return p >= 0.85 ? 0.01 : max(0.01, 4 * p * (1 - p))
        case .paper:
            let seen = problem.seen.map { Double($0[prompt]) } ?? 0
            return isKnown && seen >= 2 ? p * (1 - p) * seen / (seen - 1) : 0.25
        case .probability:
            let variance = p * (1 - p)
            return problem.exponent == 1 ? variance : variance.squareRoot()
        }
    }

    /// Steps 1 and 2. Returns what is left of the total.
    private func meetNeeds(_ counts: UnsafeMutablePointer<Int64>) -> Int {
        let count = problem.count
        let initial = max(problem.minimum, DynamoAllocation.initialRollouts)
        var needed = 0
        var prompt = 0
        while prompt < count {
            let seen = Int(truncatingIfNeeded: problem.seen?[prompt] ?? 0)
            let need = min(problem.maximum, max(0, initial &- min(seen, initial)))
            needs[prompt] = Int64(truncatingIfNeeded: need)
            needed &+= need
            prompt &+= 1
        }
        var spent = 0
        prompt = 0
        while prompt < count {
            let need = Int(truncatingIfNeeded: needs[prompt])
            let granted =
                needed <= problem.total
                ? need : max(problem.minimum, scaled(need, by: problem.total, over: needed))
            counts[prompt] = Int64(truncatingIfNeeded: granted)
            spent &+= granted
            prompt &+= 1
        }
        lowerLargest(counts, by: spent &- problem.total)
        return max(0, problem.total &- spent)
    }

    /// The largest count above the minimum loses one, the first of equals, again and again.
    private func lowerLargest(_ counts: UnsafeMutablePointer<Int64>, by excess: Int) {
        var left = excess
        while left > 0 {
            var largest: Int64 = 0
            var prompt = 0
            while prompt < problem.count {
                largest = max(largest, counts[prompt])
                prompt &+= 1
            }
            if largest <= Int64(truncatingIfNeeded: problem.minimum) { return }
            prompt = 0
            while prompt < problem.count && left > 0 {
                if counts[prompt] == largest {
                    counts[prompt] &-= 1
                    left &-= 1
                }
                prompt &+= 1
            }
        }
    }

    /// Step 3. Returns what is left.
    private func raiseToMinimum(_ counts: UnsafeMutablePointer<Int64>, _ available: Int) -> Int {
        let minimum = Int64(truncatingIfNeeded: problem.minimum)
        var missing = 0
        var prompt = 0
        while prompt < problem.count {
            missing &+= Int(truncatingIfNeeded: max(0, minimum &- counts[prompt]))
            prompt &+= 1
        }
        var left = available
        prompt = 0
        while prompt < problem.count {
            let lack = Int(truncatingIfNeeded: max(0, minimum &- counts[prompt]))
            let granted = missing <= available ? lack : scaled(lack, by: available, over: missing)
            counts[prompt] &+= Int64(truncatingIfNeeded: granted)
            left &-= granted
            prompt &+= 1
        }
        return left
    }

    /// Step 4.
    private func shareInProportion(_ counts: UnsafeMutablePointer<Int64>, _ available: Int) {
        let count = problem.count
        let maximum = Int64(truncatingIfNeeded: problem.maximum)
        var left = available
        while left > 0 {
            var prompt = 0
            while prompt < count {
                open[prompt] = isOpen(prompt, counts) ? priorities[prompt] : 0
                prompt &+= 1
            }
            let sum = reproducibleSum(open, count: count)
            if sum <= 0 { break }
            var shared = 0
            prompt = 0
            while prompt < count {
                let exact = Double(left) * open[prompt] / sum
                let whole = exact.rounded(.down)
                shares[prompt] = Int64(exactly: whole) ?? 0
                shared &+= Int(truncatingIfNeeded: shares[prompt])
                // Ascending order of these is descending order of the fractions; prompts that are closed come last.
                fractions[prompt] =
                    open[prompt] > 0
                    ? 0 &- Int64(bitPattern: (exact - whole).bitPattern) : Int64.max
                prompt &+= 1
            }
            giveRemainders(left &- shared)
            prompt = 0
            while prompt < count {
                let granted = min(shares[prompt], maximum &- counts[prompt])
                if granted > 0 {
                    counts[prompt] &+= granted
                    left &-= Int(truncatingIfNeeded: granted)
                }
                prompt &+= 1
            }
        }
        problem.spreadEvenly(left, over: counts)
    }

    private func isOpen(_ prompt: Int, _ counts: UnsafeMutablePointer<Int64>) -> Bool {
        counts[prompt] < Int64(truncatingIfNeeded: problem.maximum)
            && priorities[prompt] > DynamoAllocation.smallestPriority
    }

    /// One each to the largest fractions, ties by index.
    private func giveRemainders(_ remainders: Int) {
        if remainders <= 0 { return }
        var sort = self.sort
        sort.sort(fractions)
        var position = 0
        while position < min(remainders, problem.count) {
            let prompt = Int(truncatingIfNeeded: sort.rows[position])
            if fractions[prompt] < Int64.max { shares[prompt] &+= 1 }
            position &+= 1
        }
    }

    /// floor(part * whole / sum). All three are at most 2^31.
    private func scaled(_ part: Int, by whole: Int, over sum: Int) -> Int {
        if sum <= 0 { return 0 }
        return Int(truncatingIfNeeded: UInt(bitPattern: part) &* UInt(bitPattern: whole) / UInt(bitPattern: sum))
    }
}
