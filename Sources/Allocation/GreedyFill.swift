import Estimation

/// Spends a total one rollout at a time, always on the prompt that gains most by its next one, ties by index. Returns
/// what is left because no further rollout gains anything.
///
/// - Parameter gain: of one rollout more than a prompt has, not above 0 where it has no room.
func fillGreedily(
    _ counts: UnsafeMutablePointer<Int64>, promptCount: Int, total: Int, workspace: inout Workspace,
    gain: (_ prompt: Int, _ rollouts: Int) -> Double
) throws(Failure) -> Int {
    let gains = try workspace.take(Double.self, count: promptCount)
    let heap = try workspace.take(Int32.self, count: promptCount)
    if total <= 0 || promptCount == 0 { return total }
    func precedes(_ first: Int32, _ second: Int32) -> Bool {
        let a = gains[Int(truncatingIfNeeded: first)]
        let b = gains[Int(truncatingIfNeeded: second)]
        return a > b || (a == b && first < second)
    }
    func siftDown(_ start: Int) {
        let moved = heap[start]
        var parent = start
        while true {
            var child = 2 &* parent &+ 1
            if child >= promptCount { break }
            if child &+ 1 < promptCount && precedes(heap[child &+ 1], heap[child]) { child &+= 1 }
            if !precedes(heap[child], moved) { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = moved
    }
    var prompt = 0
    while prompt < promptCount {
        gains[prompt] = gain(prompt, Int(truncatingIfNeeded: counts[prompt]))
        heap[prompt] = Int32(truncatingIfNeeded: prompt)
        prompt &+= 1
    }
    var start = promptCount / 2
    while start > 0 {
        start &-= 1
        siftDown(start)
    }
    var left = total
    while left > 0 {
        let best = Int(truncatingIfNeeded: heap[0])
        if gains[best] <= 0 { break }
        counts[best] &+= 1
        gains[best] = gain(best, Int(truncatingIfNeeded: counts[best]))
        siftDown(0)
        left &-= 1
    }
    return left
}

/// The same for gains that fall with every rollout, which makes it the exact optimum. Most of the total goes out at once
/// to all rollouts that gain more than a threshold, found by halving; only the rest goes one by one.
///
/// - Parameter rolloutsAbove: how many more rollouts of a prompt gain more than a threshold, at most its room.
func fillConcave(
    _ counts: UnsafeMutablePointer<Int64>, promptCount: Int, total: Int, workspace: inout Workspace,
    rolloutsAbove: (_ prompt: Int, _ threshold: Double) -> Int, gain: (_ prompt: Int, _ rollouts: Int) -> Double
) throws(Failure) -> Int {
    let start = try workspace.take(Int64.self, count: promptCount)
    /// Rollouts that gain more than a threshold; stops counting beyond the total.
    func demand(above threshold: Double) -> Int {
        var sum = 0
        var prompt = 0
        while prompt < promptCount && sum <= total {
            let wanted = rolloutsAbove(prompt, threshold)
            start[prompt] = Int64(truncatingIfNeeded: wanted)
            sum &+= wanted
            prompt &+= 1
        }
        return sum
    }
    // Positive doubles are ordered like their bit patterns.
    var low: UInt64 = 0
    var high: UInt64 = Double.infinity.bitPattern
    var met = 0
    while low &+ 1 < high && total &- met > promptCount / 8 {
        let middle = low &+ (high &- low) / 2
        let wanted = demand(above: Double(bitPattern: middle))
        if wanted > total { low = middle } else { (high, met) = (middle, wanted) }
    }
    met = demand(above: Double(bitPattern: high))
    var prompt = 0
    while prompt < promptCount {
        counts[prompt] &+= start[prompt]
        prompt &+= 1
    }
    return try fillGreedily(
        counts, promptCount: promptCount, total: total &- met, workspace: &workspace, gain: gain)
}
