import Estimation

/// Spends a total on prompts one rollout at a time, always where the next one gains most, ties by index: the exact
/// optimum where gains fall with every rollout. Done for all prompts at once, by finding the gain at which the
/// total runs out. Adds to `counts` and returns what is left because nothing with a positive gain remains.
///
/// - Parameter rolloutsAbove: how many of a prompt's next rollouts have a gain above a threshold (or at it, where
///   the flag says so), at most what it has room for.
func fillConcave(
    _ counts: UnsafeMutablePointer<Int64>, promptCount: Int, total: Int,
    rolloutsAbove: (_ prompt: Int, _ threshold: Double, _ including: Bool) -> Int
) -> Int {
    if total <= 0 { return 0 }
    /// Rollouts wanted above a threshold; stops counting beyond the total.
    func demand(above threshold: Double) -> Int {
        var sum = 0
        var prompt = 0
        while prompt < promptCount && sum <= total {
            sum &+= rolloutsAbove(prompt, threshold, false)
            prompt &+= 1
        }
        return sum
    }
    // Positive doubles are ordered like their bit patterns, so halving the patterns finds the gain exactly: at most
    // the total is wanted above `high`, more above `low`.
    var low: UInt64 = 0
    var high: UInt64 = Double.infinity.bitPattern
    let takesAll = demand(above: 0) <= total
    while !takesAll && low &+ 1 < high {
        let middle = low &+ (high &- low) / 2
        if demand(above: Double(bitPattern: middle)) > total { low = middle } else { high = middle }
    }
    let threshold = takesAll ? 0 : Double(bitPattern: high)
    var left = total
    var prompt = 0
    while prompt < promptCount {
        let wanted = rolloutsAbove(prompt, threshold, false)
        counts[prompt] &+= Int64(truncatingIfNeeded: wanted)
        left &-= wanted
        prompt &+= 1
    }
    if takesAll { return left }
    // Those whose next gain is exactly the threshold's share what is left, in order of index.
    prompt = 0
    while prompt < promptCount && left > 0 {
        let above = rolloutsAbove(prompt, threshold, false)
        let more = min(rolloutsAbove(prompt, threshold, true) &- above, left)
        counts[prompt] &+= Int64(truncatingIfNeeded: more)
        left &-= more
        prompt &+= 1
    }
    return left
}
