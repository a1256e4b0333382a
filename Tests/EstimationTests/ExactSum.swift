/// The sum of the terms less `value`, exact but for one final rounding: terms are kept as an expansion of
/// numbers that do not overlap (Shewchuk 1997), another method than the one under test.
func exactDifference(_ terms: [Double], _ value: Double) -> Double {
    var expansion: [Double] = []
    for term in terms + [-value] {
        var carry = term
        var next: [Double] = []
        for part in expansion {
            let sum = carry + part
            let partSeen = sum - carry
            let rest = (carry - (sum - partSeen)) + (part - partSeen)
            if rest != 0 { next.append(rest) }
            carry = sum
        }
        expansion = next + [carry]
    }
    return expansion.reduce(0, +)
}
