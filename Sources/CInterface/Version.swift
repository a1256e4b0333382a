import CV05
import Estimation

@_cdecl("v05_abi_version") @implementation
public func v05_abi_version() -> UInt32 { UInt32(truncatingIfNeeded: V05_ABI_VERSION) }

/// The text of V05_VERSION in v05.h; a test compares them.
@_cdecl("v05_version") @implementation
public func v05_version() -> UnsafePointer<CChar>! { staticText("0.1.0") }

@_cdecl("v05_build_mode") @implementation
public func v05_build_mode() -> UnsafePointer<CChar>! {
    #if hasFeature(Embedded)
    staticText("embedded")
    #else
    staticText("hosted")
    #endif
}
