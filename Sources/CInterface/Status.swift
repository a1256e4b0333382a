import CV05
import Estimation

/// The number and the name of every kind of failure.
extension Failure.Kind {
    var status: v05_status {
        switch self {
        case .nullPointer: return V05_STATUS_NULL_POINTER
        case .invalidSize: return V05_STATUS_INVALID_SIZE
        case .invalidOption: return V05_STATUS_INVALID_OPTION
        case .structSize: return V05_STATUS_INVALID_STRUCT_SIZE
        case .capacityTooSmall: return V05_STATUS_CAPACITY_TOO_SMALL
        case .workspaceTooSmall: return V05_STATUS_WORKSPACE_TOO_SMALL
        case .overlappingArrays: return V05_STATUS_OVERLAPPING_ARRAYS
        case .invalidReward: return V05_STATUS_INVALID_REWARD
        case .rewardOutOfRange: return V05_STATUS_REWARD_OUT_OF_RANGE
        case .rewardNotTwoValued: return V05_STATUS_REWARD_NOT_TWO_VALUED
        case .invalidPrior: return V05_STATUS_INVALID_PRIOR
        case .priorDisagrees: return V05_STATUS_PRIOR_DISAGREES
        case .invalidOffsets: return V05_STATUS_INVALID_OFFSETS
        case .invalidCalibration: return V05_STATUS_INVALID_CALIBRATION
        case .invalidProbability: return V05_STATUS_INVALID_PROBABILITY
        case .infeasible: return V05_STATUS_INFEASIBLE
        case .unknownPrompt: return V05_STATUS_UNKNOWN_PROMPT
        case .notInFlight: return V05_STATUS_NOT_IN_FLIGHT
        case .invalidToken: return V05_STATUS_INVALID_TOKEN
        case .invalidWeight: return V05_STATUS_INVALID_WEIGHT
        case .outOfMemory: return V05_STATUS_OUT_OF_MEMORY
        case .checkpointTruncated: return V05_STATUS_CHECKPOINT_TRUNCATED
        case .checkpointCorrupted: return V05_STATUS_CHECKPOINT_CORRUPTED
        case .checkpointVersion: return V05_STATUS_CHECKPOINT_VERSION
        case .checkpointKind: return V05_STATUS_CHECKPOINT_KIND
        }
    }
}

@_cdecl("v05_status_name") @implementation
public func v05_status_name(_ status: Int32) -> UnsafePointer<CChar>! {
    switch v05_status(UInt32(bitPattern: status)) {
    case V05_STATUS_OK: return staticText("V05_STATUS_OK")
    case V05_STATUS_NULL_POINTER: return staticText("V05_STATUS_NULL_POINTER")
    case V05_STATUS_INVALID_SIZE: return staticText("V05_STATUS_INVALID_SIZE")
    case V05_STATUS_INVALID_OPTION: return staticText("V05_STATUS_INVALID_OPTION")
    case V05_STATUS_INVALID_STRUCT_SIZE: return staticText("V05_STATUS_INVALID_STRUCT_SIZE")
    case V05_STATUS_CAPACITY_TOO_SMALL: return staticText("V05_STATUS_CAPACITY_TOO_SMALL")
    case V05_STATUS_WORKSPACE_TOO_SMALL: return staticText("V05_STATUS_WORKSPACE_TOO_SMALL")
    case V05_STATUS_OVERLAPPING_ARRAYS: return staticText("V05_STATUS_OVERLAPPING_ARRAYS")
    case V05_STATUS_INVALID_REWARD: return staticText("V05_STATUS_INVALID_REWARD")
    case V05_STATUS_REWARD_OUT_OF_RANGE: return staticText("V05_STATUS_REWARD_OUT_OF_RANGE")
    case V05_STATUS_REWARD_NOT_TWO_VALUED: return staticText("V05_STATUS_REWARD_NOT_TWO_VALUED")
    case V05_STATUS_INVALID_PRIOR: return staticText("V05_STATUS_INVALID_PRIOR")
    case V05_STATUS_PRIOR_DISAGREES: return staticText("V05_STATUS_PRIOR_DISAGREES")
    case V05_STATUS_INVALID_OFFSETS: return staticText("V05_STATUS_INVALID_OFFSETS")
    case V05_STATUS_INVALID_CALIBRATION: return staticText("V05_STATUS_INVALID_CALIBRATION")
    case V05_STATUS_INVALID_PROBABILITY: return staticText("V05_STATUS_INVALID_PROBABILITY")
    case V05_STATUS_INFEASIBLE: return staticText("V05_STATUS_INFEASIBLE")
    case V05_STATUS_UNKNOWN_PROMPT: return staticText("V05_STATUS_UNKNOWN_PROMPT")
    case V05_STATUS_NOT_IN_FLIGHT: return staticText("V05_STATUS_NOT_IN_FLIGHT")
    case V05_STATUS_INVALID_TOKEN: return staticText("V05_STATUS_INVALID_TOKEN")
    case V05_STATUS_INVALID_WEIGHT: return staticText("V05_STATUS_INVALID_WEIGHT")
    case V05_STATUS_OUT_OF_MEMORY: return staticText("V05_STATUS_OUT_OF_MEMORY")
    case V05_STATUS_CHECKPOINT_TRUNCATED: return staticText("V05_STATUS_CHECKPOINT_TRUNCATED")
    case V05_STATUS_CHECKPOINT_CORRUPTED: return staticText("V05_STATUS_CHECKPOINT_CORRUPTED")
    case V05_STATUS_CHECKPOINT_VERSION: return staticText("V05_STATUS_CHECKPOINT_VERSION")
    case V05_STATUS_CHECKPOINT_KIND: return staticText("V05_STATUS_CHECKPOINT_KIND")
    default: return staticText("unknown status")
    }
}
