import Estimation

/// What every prompt is to be asked for at the next request. It is kept up to date prompt by prompt, so that a result
/// costs the logarithm of the number of prompts.
struct WavePlan {
    private let prompts: UnsafeMutablePointer<Prompt>
    private let count: Int
    private let expected: ExpectedGain
    private let wave: Int
    private let cost: Double
    /// Int.max: no limit.
    private let budget: Int
    /// Rollouts of all prompts that are started or owed as initial ones.
    private var committed = 0
    /// Prompts that ask for more: infinity where initial rollouts are owed, else what the next one gains.
    private var waiting: WinnerTree
    /// With a budget, neyman goes by shares of it: a prompt goes on only where it has one.
    private var shares: UnsafeMutablePointer<BudgetShares>?
    private let changed: UnsafeMutablePointer<Int32>
    private var changedCount = 0

    init(
        _ prompts: UnsafeMutablePointer<Prompt>, count: Int, options: AllocatorOptions, expected: ExpectedGain,
        workspace: inout Workspace
    ) throws(Failure) {
        self.prompts = prompts
        self.count = count
        self.expected = expected
        wave = options.wave
        cost = options.effectiveCost
        budget = options.budget < 0 ? Int.max : options.budget
        waiting = try WinnerTree(count: count, workspace: &workspace)
        changed = try workspace.take(Int32.self, count: count)
        if options.sharesBudget {
            let kept = try workspace.take(BudgetShares.self, count: 1)
            kept.initialize(to: try BudgetShares(count: count, cost: cost, workspace: &workspace))
            shares = kept
        }
        restart()
    }

    /// Something happened to a prompt; `settle` looks at it.
    @inline(never)
    mutating func note(_ prompt: Int) {
        if prompts[prompt].isChanged { return }
        prompts[prompt].isChanged = true
        changed[changedCount] = Int32(truncatingIfNeeded: prompt)
        changedCount &+= 1
    }

    /// The prompts that `settle` will look at.
    func forEachChanged(_ body: (Int) -> Void) {
        var position = 0
        while position < changedCount {
            body(Int(changed[position]))
            position &+= 1
        }
    }

    /// A rollout of a prompt was taken back.
    mutating func noteCancelled(_ prompt: Int) {
        if prompts[prompt].started >= Int(prompts[prompt].initial) { committed &-= 1 }
        note(prompt)
    }

    /// Forgets all that it knew.
    mutating func restart() {
        committed = 0
        var prompt = 0
        while prompt < count {
            committed &+= prompts[prompt].committed
            note(prompt)
            prompt &+= 1
        }
        settle()
    }

    mutating func settle() {
        var isAnew = changedCount > count / 16
        let isBulk = isAnew
        if shares != nil {
            let known = changedCount
            var position = 0
            while position < known {
                share(Int(changed[position]), weighed: !isBulk)
                position &+= 1
            }
            isAnew = balance(isAnew)
        } else {
            isAnew = false
        }
        if isAnew {
            var prompt = 0
            while prompt < count {
                waiting.put(prompt, key(prompt))
                prompt &+= 1
            }
        }
        var position = 0
        while position < changedCount {
            let prompt = Int(changed[position])
            prompts[prompt].isChanged = false
            if isBulk || isAnew { waiting.put(prompt, key(prompt)) } else { waiting.set(prompt, key(prompt)) }
            position &+= 1
        }
        if isBulk || isAnew { waiting.rebuild() }
        changedCount = 0
    }

    /// Whether the next request would ask for anything.
    var hasMore: Bool { count > 0 && wanted(waiting.best) > 0 }

    /// Starts what is to be started now. Returns the sum.
    mutating func start(_ counts: UnsafeMutablePointer<Int64>) -> Int {
        var sum = 0
        // Where nearly all ask and all of them can be served, in order of index instead of gain.
        if waiting.entries > count / 16 && fitsBudget {
            var prompt = 0
            while prompt < count {
                sum &+= start(prompt, counts)
                waiting.put(prompt, WinnerTree.absent)
                prompt &+= 1
            }
            return sum
        }
        while hasMore {
            let prompt = waiting.best
            sum &+= start(prompt, counts)
            waiting.set(prompt, WinnerTree.absent)
        }
        return sum
    }

    private var left: Int { budget == Int.max ? Int.max : max(0, budget &- committed) }

    /// All that ask can be served whole.
    private var fitsBudget: Bool {
        if left == Int.max || shares != nil { return true }
        var needed = 0
        var prompt = 0
        while prompt < count {
            if prompts[prompt].lacking == 0 { needed &+= asked(prompt) }
            prompt &+= 1
        }
        return needed <= left
    }

    /// What a prompt would be given now if the budget were its own.
    private func asked(_ prompt: Int) -> Int {
        if !(waiting[prompt] > WinnerTree.absent) { return 0 }
        let state = prompts[prompt]
        if state.lacking > 0 { return state.lacking }
        return min(min(wave, state.room), shares?.pointee[prompt] ?? Int.max)
    }

    /// Initial rollouts are within the budget in any case.
    private func wanted(_ prompt: Int) -> Int {
        prompts[prompt].lacking > 0 ? asked(prompt) : min(asked(prompt), left)
    }

    @inline(never)
    private mutating func start(_ prompt: Int, _ counts: UnsafeMutablePointer<Int64>) -> Int {
        let granted = wanted(prompt)
        if granted == 0 { return 0 }
        let before = prompts[prompt].committed
        prompts[prompt].inFlight &+= Int32(truncatingIfNeeded: granted)
        let added = prompts[prompt].committed &- before
        committed &+= added
        if added > 0 { shares?.pointee.start(prompt, added) }
        counts[prompt] = Int64(truncatingIfNeeded: granted)
        return granted
    }

    @inline(never)
    private func key(_ prompt: Int) -> Double {
        let state = prompts[prompt]
        if state.lacking > 0 { return .infinity }
        guard state.isReady else { return WinnerTree.absent }
        if let shares { return shares.pointee[prompt] > 0 ? 1 : WinnerTree.absent }
        let gain = expected.next(state.progress)
        return gain > cost ? gain : WinnerTree.absent
    }

    private mutating func share(_ prompt: Int, weighed: Bool) {
        let state = prompts[prompt]
        shares?.pointee.update(
            prompt, variance: state.count > 0 ? expected.varianceByCount(state.progress) : expected.largestVariance,
            start: state.committed, maximum: Int(state.maximum))
        if weighed { shares?.pointee.weigh(prompt) }
    }

    /// Returns whether all shares may be others.
    private mutating func balance(_ isAnew: Bool) -> Bool {
        guard let shares else { return false }
        if !isAnew { return shares.pointee.balance(left) { note($0) } }
        shares.pointee.planAnew(left)
        return true
    }
}
