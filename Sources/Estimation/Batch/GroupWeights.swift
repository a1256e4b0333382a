/// The sums of the weights of one group, from which those without one row follow. Weights are scaled by a power of two, so
/// that the largest of the group is near 1: no square overflows, and none vanishes that matters.
struct GroupWeights {
    let scale: Double
    /// Sum of W, and of W^2, as high + low.
    private(set) var sumHigh = 0.0
    private(set) var sumLow = 0.0
    private(set) var squaresHigh = 0.0
    private(set) var squaresLow = 0.0

    var sum: Double { sumHigh + sumLow }
    var squares: Double { squaresHigh + squaresLow }

    /// - Parameters: `weights` above 0, at least one, become scaled ones; `largest` of them.
    @_optimize(speed)
    init(_ weights: UnsafeMutablePointer<Double>, count: Int, largest: Double) {
        scale = GroupWeights.scale(largest)
        var sum = ReproducibleSum(count: count, largest: 4)
        var squares = ReproducibleSum(count: count, largest: 16)
        var sums = FourSums(sum)
        var sumsOfSquares = FourSums(squares)
        var position = 0
        while position &+ 4 <= count {
            let four = weights.four(at: position) * scale
            weights.store(four, at: position)
            sums.add(four)
            sumsOfSquares.add(four * four)
            position &+= 4
        }
        while position < count {
            let weight = weights[position] * scale
            weights[position] = weight
            sum.add(weight)
            squares.add(weight * weight)
            position &+= 1
        }
        sums.add(to: &sum)
        sumsOfSquares.add(to: &squares)
        sumHigh = sum.high
        sumLow = sum.low
        squaresHigh = squares.high
        squaresLow = squares.low
    }

    /// Those of the others of a row. Where the row carries nearly all of the weight, which at most one row of a group can do,
    /// too few digits of the others' are left in the sums, and nil says that they must be summed anew.
    @inline(__always)
    func withoutRow(_ weight: Double) -> (sum: Double, squares: Double)? {
        let others = (sumHigh - weight) + sumLow
        let squares = (squaresHigh - weight * weight) + squaresLow
        // Many small ones may have a part of the sum, and hardly any of the squares.
        if !(others > 0x1p-20 * weight && squares > 0x1p-40 * (weight * weight)) { return nil }
        return (others, squares)
    }

    /// What a mean is worth in rewards of equal weight, (sum W)^2 / sum W^2. Where one row carries all but a millionth of the
    /// weight it is 1: too few digits of what it is beyond are left, and nothing is known of a spread.
    @inline(__always)
    static func effectiveCount(sum: Double, squares: Double, count: Int) -> Double {
        let found = sum * sum / squares
        return found < 1 + leastFreedom ? 1 : min(found, Double(count))
    }

    /// Degrees of freedom, in rewards, of which enough digits are left.
    static var leastFreedom: Double { 0x1p-20 }

    /// The power of two that brings a weight to 1 ..< 2, as far as there is one.
    static func scale(_ weight: Double) -> Double {
        let exponent = Int(truncatingIfNeeded: weight.bitPattern >> 52)
        return Double(bitPattern: UInt64(truncatingIfNeeded: max(1, min(2046 &- exponent, 2046))) &<< 52)
    }
}

extension GroupSummary {
    /// - Parameters: `rewards` of the rows with a weight above 0, at least one, and those `weights`, scaled as `sums` has them.
    @_optimize(speed)
    init(
        rewards: UnsafePointer<Double>, weights: UnsafePointer<Double>, sums: GroupWeights, count: Int,
        range: RewardRange,
        prior: Prior
    ) {
        self = .empty(prior: prior)
        self.count = count
        var products = ReproducibleSum(count: count, largest: 4 * range.largestMagnitude)
        var sumsOfProducts = FourSums(products)
        var position = 0
        while position &+ 4 <= count {
            sumsOfProducts.add(weights.four(at: position) * rewards.four(at: position))
            position &+= 4
        }
        while position < count {
            products.add(weights[position] * rewards[position])
            position &+= 1
        }
        sumsOfProducts.add(to: &products)
        sumHigh = products.high
        sumLow = products.low
        constant = range.smallest == range.largest
        mean = range.clamp(products.value / sums.sum)
        effectiveCount = GroupWeights.effectiveCount(sum: sums.sum, squares: sums.squares, count: count)
        unit = min(sums.squares / sums.sum / sums.scale, .greatestFiniteMagnitude)
    }

    /// Second pass of the two-pass variance.
    @_optimize(speed)
    mutating func addSquares(
        _ rewards: UnsafeMutablePointer<Double>, weights: UnsafePointer<Double>, sums: GroupWeights
    ) {
        if effectiveCount == 1 { return }
        var position = 0
        while position &+ 4 <= count {
            let deviation = rewards.four(at: position) - mean
            rewards.store(weights.four(at: position) * deviation * deviation, at: position)
            position &+= 4
        }
        while position < count {
            let deviation = rewards[position] - mean
            rewards[position] = weights[position] * deviation * deviation
            position &+= 1
        }
        sumOfSquares = reproducibleSum(rewards, count: count) * (sums.sum / sums.squares)
    }
}
