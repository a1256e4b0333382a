/// The middle of sorted rewards: enough for the median of all of them and of all but one.
struct MiddleRewards {
    private let count: Int
    /// The element at count / 2 and its neighbours.
    private let before: Double
    private let middle: Double
    private let after: Double

    /// - Parameter sorted: at least one reward, ascending.
    init(sorted: UnsafePointer<Double>, count: Int) {
        self.count = count
        let half = count / 2
        middle = sorted[half]
        before = half > 0 ? sorted[half &- 1] : middle
        after = half &+ 1 < count ? sorted[half &+ 1] : middle
    }

    var median: Double {
        count & 1 == 1 ? middle : halfway(before, middle)
    }

    /// Median of the others, without one reward equal to `reward`. Needs two rewards or more.
    func medianOfOthers(without reward: Double) -> Double {
        if count & 1 == 0 { return reward >= middle ? before : middle }
        if reward < middle { return halfway(middle, after) }
        if reward > middle { return halfway(before, middle) }
        return halfway(before, after)
    }

    private func halfway(_ low: Double, _ high: Double) -> Double { low == high ? low : (low + high) / 2 }
}

/// Heapsort: in place, no recursion, no slow case.
func sortAscending(_ values: UnsafeMutablePointer<Double>, count: Int) {
    var start = count / 2
    while start > 0 {
        start &-= 1
        siftDown(values, from: start, count: count)
    }
    var end = count
    while end > 1 {
        end &-= 1
        let largest = values[0]
        values[0] = values[end]
        values[end] = largest
        siftDown(values, from: 0, count: end)
    }
}

private func siftDown(_ values: UnsafeMutablePointer<Double>, from start: Int, count: Int) {
    let value = values[start]
    var parent = start
    while true {
        var child = 2 &* parent &+ 1
        if child >= count { break }
        if child &+ 1 < count && values[child &+ 1] > values[child] { child &+= 1 }
        if values[child] <= value { break }
        values[parent] = values[child]
        parent = child
    }
    values[parent] = value
}
