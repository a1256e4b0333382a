/// e to the power of two numbers, which are kept within -700 to 700, to the last digit or the one before: the same on every
/// machine and with every C library.
///
/// x = n log 2 + r with a whole n and r between minus and plus half of log 2, e^r by its series.
@inline(never)
@_optimize(speed)
func exponentials(_ x: SIMD2<Double>) -> SIMD2<Double> {
    let most = SIMD2<Double>(repeating: 700)
    let kept = x.replacing(with: most, where: x .> most).replacing(with: -most, where: x .< -most)
    // Adding this rounds to a whole number, whose last bits are then those of the sum.
    let rounding = SIMD2<Double>(repeating: 0x1.8p52)
    let shifted = kept * 0x1.71547652b82fep0 + rounding
    let n = shifted - rounding
    // The logarithm of 2 in two parts, of which the first times n is exact.
    let r = (kept - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33
    let square = r * r
    let fourth = square * square
    let first = line(1, 1, r) + square * line(1.0 / 2, 1.0 / 6, r)
    let second = line(1.0 / 24, 1.0 / 120, r) + square * line(1.0 / 720, 1.0 / 5040, r)
    let third = line(1.0 / 40_320, 1.0 / 362_880, r) + square * line(1.0 / 3_628_800, 1.0 / 39_916_800, r)
    let last = line(1.0 / 479_001_600, 1.0 / 6_227_020_800, r)
    let series = first + fourth * (second + fourth * (third + fourth * last))
    let bits = unsafeBitCast(series, to: SIMD2<UInt64>.self) &+ (unsafeBitCast(shifted, to: SIMD2<UInt64>.self) &<< 52)
    return unsafeBitCast(bits, to: SIMD2<Double>.self)
}
