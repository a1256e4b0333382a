/// Spends a total on prompts that rise to one level: the highest that it reaches, and one each by index of the next.
/// Returns what no prompt takes.
///
/// - Parameter amount: what a prompt takes up to a level, which rises by at most 1 a level.
func fillByLevel(
    _ total: Int, promptCount: Int, highest: Int, amount: (_ prompt: Int, _ level: Int) -> Int,
    give: (_ prompt: Int, _ rollouts: Int) -> Void
) -> Int {
    func sum(_ level: Int) -> Int {
        var sum = 0
        var prompt = 0
        while prompt < promptCount {
            sum &+= amount(prompt, level)
            prompt &+= 1
        }
        return sum
    }
    let level = max(0, lengthOfRun(near: highest / 2, most: highest &+ 1) { sum($0) <= total } &- 1)
    var left = total &- sum(level)
    var prompt = 0
    while prompt < promptCount {
        let base = amount(prompt, level)
        let extra = left > 0 && amount(prompt, level &+ 1) > base ? 1 : 0
        if base &+ extra > 0 { give(prompt, base &+ extra) }
        left &-= extra
        prompt &+= 1
    }
    return left
}
