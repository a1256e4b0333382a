import CLibrary

/// The caller's rewards, in the caller's precision. All arithmetic is done in Double.
public enum RewardColumn {
    case single(UnsafePointer<Float>)
    case double(UnsafePointer<Double>)

    /// -0.0 reads as 0.0, which is equal to it but would leave its sign to the order of the rows.
    @inline(__always)
    subscript(row: Int) -> Double {
        switch self {
        case .single(let rewards): return rewards[row].double
        case .double(let rewards): return rewards[row].double
        }
    }

    /// A number in the precision of the rewards.
    func rounded(_ value: Double) -> Double {
        switch self {
        case .single: return Double(Float(value))
        case .double: return value
        }
    }
}

/// Where advantages go, in the precision of the rewards.
public enum AdvantageColumn {
    case single(UnsafeMutablePointer<Float>)
    case double(UnsafeMutablePointer<Double>)

    /// Beyond the range of the type the largest value is written, never an infinity.
    @inline(__always)
    public func write(_ value: Double, at row: Int) {
        switch self {
        case .single(let advantages):
            let limit = Double(Float.greatestFiniteMagnitude)
            advantages[row] = Float(max(-limit, min(value, limit)))
        case .double(let advantages): advantages[row] = value
        }
    }
}

/// What loops over many rows at once need of a number type; -0.0 reads as 0.0.
protocol RewardScalar {
    var double: Double { get }
    /// The nearest value, for numbers of at most 1e31.
    init(rounding value: Double)
    /// Four neighbours at once.
    static func four(_ start: UnsafePointer<Self>) -> SIMD4<Double>
    /// Rounded, for numbers of at most 1e31.
    static func write(_ four: SIMD4<Double>, to start: UnsafeMutablePointer<Self>)
}

extension Double: RewardScalar {
    @inline(__always) var double: Double { self + 0 }
    @inline(__always) init(rounding value: Double) { self = value }
    @inline(__always) static func four(_ start: UnsafePointer<Double>) -> SIMD4<Double> {
        UnsafeRawPointer(start).loadUnaligned(as: SIMD4<Double>.self) + 0
    }
    @inline(__always) static func write(_ four: SIMD4<Double>, to start: UnsafeMutablePointer<Double>) {
        UnsafeMutableRawPointer(start).storeBytes(of: four, as: SIMD4<Double>.self)
    }
}

extension Float: RewardScalar {
    @inline(__always) var double: Double { Double(self) + 0 }
    @inline(__always) init(rounding value: Double) { self = Float(value) }
    @inline(__always) static func four(_ start: UnsafePointer<Float>) -> SIMD4<Double> {
        v05_doubles(UnsafeRawPointer(start).loadUnaligned(as: SIMD4<Float>.self)) + 0
    }
    @inline(__always) static func write(_ four: SIMD4<Double>, to start: UnsafeMutablePointer<Float>) {
        UnsafeMutableRawPointer(start).storeBytes(of: v05_floats(four), as: SIMD4<Float>.self)
    }
}
