import CV05
import Estimation

@_cdecl("v05_estimation_options_initialize") @implementation
public func v05_estimation_options_initialize(
    _ options: UnsafeMutablePointer<v05_estimation_options>!, _ struct_size: Int,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        try initialize(options, struct_size, "options", to: v05_estimation_options(EstimationOptions()))
    }
}

extension v05_estimation_options {
    init(_ options: EstimationOptions) {
        self.init()
        rule = options.rule.rawValue
        leave_one_out = options.leaveOneOut ? 1 : 0
        reward_low = options.interval.low
        reward_high = options.interval.high
        scale = options.scale.rawValue
        ddof = Int32(truncatingIfNeeded: options.ddof)
        epsilon = options.epsilon
        singleton = options.singleton.rawValue
        test = options.test.rawValue
        level = options.level
        check_fit = options.checksFit ? 1 : 0
    }
}

extension EstimationOptions {
    /// The caller's options, checked; defaults for NULL and for what an older struct lacks.
    init(checking caller: UnsafePointer<v05_estimation_options>?) throws(Failure) {
        self.init()
        guard let caller else { return }
        var options = v05_estimation_options(self)
        try CallerStruct(caller, "options").read(over: &options)
        guard let rule = BaselineRule(rawValue: options.rule) else {
            throw .option("rule must be a v05_rule", Int(options.rule))
        }
        guard let scale = AdvantageScale(rawValue: options.scale) else {
            throw .option("scale must be a v05_scale", Int(options.scale))
        }
        guard let singleton = SingletonConvention(rawValue: options.singleton) else {
            throw .option("singleton must be a v05_singleton", Int(options.singleton))
        }
        guard let test = PriorTestKind(rawValue: options.test) else {
            throw .option("test must be a v05_test", Int(options.test))
        }
        guard options.leave_one_out == 0 || options.leave_one_out == 1 else {
            throw .option("leave_one_out must be 0 or 1", Int(options.leave_one_out))
        }
        guard options.check_fit == 0 || options.check_fit == 1 else {
            throw .option("check_fit must be 0 or 1", Int(options.check_fit))
        }
        guard options.reserved == 0 else { throw .option("reserved must be 0", Int(options.reserved)) }
        self.rule = rule
        self.scale = scale
        self.singleton = singleton
        self.test = test
        interval = try Interval(checking: options.reward_low, options.reward_high)
        leaveOneOut = options.leave_one_out == 1
        ddof = Int(options.ddof)
        epsilon = options.epsilon
        level = options.level
        checksFit = options.check_fit == 1
        try check()
    }
}
