import CV05
import Estimation

@_cdecl("v05_mixture_fit") @implementation
public func v05_mixture_fit(
    _ batch: UnsafePointer<v05_batch>!, _ options: UnsafePointer<v05_estimation_options>!,
    _ workspace: UnsafeMutableRawPointer!, _ workspace_size: Int, _ mixture: UnsafeMutablePointer<v05_mixture>!,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let checked = try CheckedBatch(batch)
        let interval = try EstimationOptions(checking: options).interval
        let output = try CallerStruct(UnsafePointer(mixture), "mixture")
        var memory = try checked.memory(workspace, workspace_size)
        try output.claim(in: &memory, "mixture")
        try withWorkspace(workspace, workspace_size) { (workspace) throws(Failure) in
            output.write(v05_mixture(try Mixture(checked.view(), interval: interval, workspace: &workspace)))
        }
    }
}

extension Mixture {
    init(checking caller: UnsafePointer<v05_mixture>) throws(Failure) {
        var value = v05_mixture()
        try CallerStruct(caller, "mixture").read(over: &value)
        self.init(calibration: Calibration(value.calibration), weights: MixtureNumbers(value.weights))
        try check()
    }
}

extension v05_mixture {
    init(_ applied: Calibration, _ numbers: UnsafePointer<MixtureNumbers>) {
        self.init()
        struct_size = MemoryLayout<v05_mixture>.size
        calibration = v05_calibration(applied)
        numbers.pointee.copy(to: &weights)
    }

    init(_ mixture: Mixture) {
        self = withUnsafePointer(to: mixture.weights) { v05_mixture(mixture.calibration, $0) }
    }
}

extension MixtureNumbers {
    init<Numbers>(_ numbers: Numbers) {
        self.init()
        withUnsafeMutableBytes(of: &self) { components in
            withUnsafeBytes(of: numbers) { components.copyMemory(from: $0) }
        }
    }

    func copy<Numbers>(to numbers: inout Numbers) {
        withUnsafeMutableBytes(of: &numbers) { target in
            withUnsafeBytes(of: self) { target.copyMemory(from: $0) }
        }
    }
}
