/// How many of the numbers 0, 1, 2 ... up to `most` a condition holds for that fails from some number on. Looks at the
/// logarithm of the distance to a guess.
@inline(__always)
func lengthOfRun(near guess: Int, most: Int, _ holds: (Int) -> Bool) -> Int {
    // It holds for all below `low`, and fails at `high` or `high` is the end.
    var low = 0
    var high = most
    var probe = guess
    var stride = 1
    var isBelow = false
    var isAbove = false
    while low < high {
        if isBelow && isAbove { probe = low &+ (high &- low) / 2 }
        probe = max(low, min(probe, high &- 1))
        if holds(probe) {
            low = probe &+ 1
            probe = probe &+ stride
            isBelow = true
        } else {
            high = probe
            probe = probe &- stride
            isAbove = true
        }
        stride = min(2 &* stride, most)
    }
    return low
}
