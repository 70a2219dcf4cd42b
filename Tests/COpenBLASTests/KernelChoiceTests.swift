import COpenBLAS
import Testing

/// Instructions by generations of processors.
private enum Features {
    static let x86 = bits(AZ_X86_64)
    static let sse42 = x86 | bits(AZ_SSE42)
    static let avx = sse42 | bits(AZ_AVX)
    static let bulldozer = avx | bits(AZ_FMA4)
    static let piledriver = bulldozer | bits(AZ_FMA)
    static let excavator = piledriver | bits(AZ_AVX2)
    static let avx2 = avx | bits(AZ_FMA) | bits(AZ_AVX2)
    static let avx512 = avx2 | bits(AZ_AVX512)
    static let bfloat16 = avx512 | bits(AZ_AVX512_BF16)

    static func bits(_ value: Int) -> UInt32 { UInt32(value) }
}

/// A processor, what a library chooses on it, and what is to be done about that.
struct Choice: CustomTestStringConvertible, Sendable {
    let processor: String, features: UInt32, chosen: String, version: String, variable: String?
    let wanted: String?, reason: az_kernel_reason

    init(
        _ processor: String, _ features: UInt32, chosen: String, version: String = "0.3.21", variable: String? = nil,
        wanted: String? = nil, _ reason: az_kernel_reason = AZ_KERNELS_FIT
    ) {
        (self.processor, self.features, self.chosen, self.version) = (processor, features, chosen, version)
        (self.variable, self.wanted, self.reason) = (variable, wanted, reason)
    }

    var testDescription: String { "\(processor), \(chosen) of \(version), variable \(variable ?? "not set")" }

    func decide() -> (core: String?, reason: az_kernel_reason) {
        let decision = az_decide_kernels(features, chosen, version, variable)
        return (decision.core.map { String(cString: $0) }, decision.reason)
    }
}

private let low = AZ_KERNELS_TOO_LOW
private let high = AZ_KERNELS_TOO_HIGH
private let choices = [
    // What a library that knows the processor chooses stays.
    Choice("Core 2 (2006)", Features.x86, chosen: "Core2"),
    Choice("Penryn (2007)", Features.x86, chosen: "Penryn"),
    Choice("Barcelona (2007)", Features.x86, chosen: "Barcelona"),
    Choice("Nehalem (2008)", Features.sse42, chosen: "Nehalem"),
    Choice("Bobcat (2011)", Features.x86, chosen: "Bobcat"),
    Choice("Sandy Bridge (2011)", Features.avx, chosen: "Sandybridge"),
    Choice("Bulldozer (2011)", Features.bulldozer, chosen: "Bulldozer"),
    Choice("Piledriver (2012)", Features.piledriver, chosen: "Piledriver"),
    Choice("Haswell (2013)", Features.avx2, chosen: "Haswell"),
    Choice("Steamroller (2014)", Features.piledriver, chosen: "Steamroller"),
    Choice("Excavator (2015)", Features.excavator, chosen: "Excavator"),
    Choice("Zen (2017)", Features.avx2, chosen: "Zen"),
    Choice("Skylake-X (2017)", Features.avx512, chosen: "SkylakeX"),
    Choice("Cooper Lake (2020)", Features.bfloat16, chosen: "Cooperlake"),
    Choice("Zen 4 (2022)", Features.bfloat16, chosen: "Cooperlake"),
    Choice("Sapphire Rapids (2023)", Features.bfloat16, chosen: "SapphireRapids", version: "0.3.26"),
    Choice("a build for Haswell alone", Features.avx2, chosen: "HASWELL"),
    // Processors younger than the library, or hidden by a virtual machine.
    Choice("Emerald Rapids (2023)", Features.bfloat16, chosen: "Prescott", wanted: "SkylakeX", low),
    Choice("Granite Rapids (2024)", Features.bfloat16, chosen: "Prescott", wanted: "SkylakeX", low),
    Choice("Sierra Forest (2024)", Features.avx2, chosen: "Prescott", wanted: "Haswell", low),
    Choice("Alder Lake (2021)", Features.avx2, chosen: "Nehalem", version: "0.3.13", wanted: "Haswell", low),
    Choice("Zen 5 (2024)", Features.bfloat16, chosen: "Zen", wanted: "SkylakeX", low),
    Choice("Zen 2 under an old library", Features.avx2, chosen: "Barcelona", version: "0.2.19", wanted: "Haswell", low),
    Choice("Ice Lake (2019)", Features.avx512, chosen: "Haswell", wanted: "SkylakeX", low),
    Choice("Jaguar (2013)", Features.avx, chosen: "Barcelona", wanted: "Sandybridge", low),
    Choice("Goldmont (2016)", Features.sse42, chosen: "Prescott", wanted: "Nehalem", low),
    Choice("Silvermont (2013)", Features.sse42, chosen: "Atom", wanted: "Nehalem", low),
    Choice("of tomorrow", Features.bfloat16 | 1 << 30, chosen: "Prescott", version: "0.3.30", wanted: "SkylakeX", low),
    Choice("Excavator, unknown to the library", Features.excavator, chosen: "Barcelona", wanted: "Sandybridge", low),
    // Kernels that a version has not, or has wrong.
    Choice("Emerald Rapids", Features.bfloat16, chosen: "Prescott", version: "0.3.7", wanted: "Haswell", low),
    Choice("Emerald Rapids", Features.bfloat16, chosen: "Haswell", version: "0.3.7"),
    Choice("Emerald Rapids", Features.bfloat16, chosen: "Prescott", version: "0.3.8", wanted: "SkylakeX", low),
    Choice("Haswell", Features.avx2, chosen: "Nehalem", version: "0.2.7", wanted: "Sandybridge", low),
    Choice("Sandy Bridge", Features.avx, chosen: "Nehalem", version: "0.1.1"),
    Choice("Emerald Rapids", Features.bfloat16, chosen: "Prescott", version: "0.4", wanted: "SkylakeX", low),
    Choice("Emerald Rapids", Features.bfloat16, chosen: "Prescott", version: "1.0.0.dev", wanted: "SkylakeX", low),
    Choice("Haswell", Features.avx2, chosen: "Prescott", version: "unknown", wanted: "Nehalem", low),
    // What the user says counts, where the library could heed it and the processor can run it.
    Choice("Emerald Rapids", Features.bfloat16, chosen: "Prescott", variable: "Prescott", AZ_KERNELS_BY_VARIABLE),
    Choice("Emerald Rapids", Features.bfloat16, chosen: "Haswell", variable: "haswell", AZ_KERNELS_BY_VARIABLE),
    Choice("Emerald Rapids", Features.bfloat16, chosen: "Prescott", variable: "Katmai", AZ_KERNELS_BY_VARIABLE),
    Choice("Emerald Rapids", Features.bfloat16, chosen: "Prescott", variable: "Haswel", wanted: "SkylakeX", low),
    Choice("Emerald Rapids", Features.bfloat16, chosen: "Prescott", variable: "", wanted: "SkylakeX", low),
    Choice("Emerald Rapids", Features.bfloat16, chosen: "Prescott", variable: "SkylakeX", wanted: "SkylakeX", low),
    Choice("Zen 2", Features.avx2, chosen: "SkylakeX", variable: "SkylakeX", wanted: "Haswell", high),
    Choice(
        "Nehalem", Features.sse42, chosen: "Haswell", variable: "Haswell", wanted: "Nehalem", high),
    // AVX-512 that the system does not save, as some virtual machines have it.
    Choice("Ice Lake without zmm", Features.avx2, chosen: "SkylakeX", wanted: "Haswell", high),
    Choice("Zen, Bulldozer's kernels", Features.avx2, chosen: "Excavator", wanted: "Haswell", high),
    Choice("Opteron's on a Xeon", Features.sse42, chosen: "Opteron", variable: "Opteron", wanted: "Nehalem", high),
    Choice("Opteron (2003)", Features.x86 | Features.bits(AZ_3DNOW), chosen: "Opteron"),
    // Left alone.
    Choice("Graviton", 0, chosen: "neoversev1", AZ_KERNELS_OTHER_PROCESSOR),
    Choice("Apple M1", 0, chosen: "armv8", variable: "Haswell", AZ_KERNELS_OTHER_PROCESSOR),
    Choice("of tomorrow", Features.bfloat16, chosen: "DiamondRapids", version: "0.4.0", AZ_KERNELS_UNKNOWN),
]

@Suite("The choice of kernels") struct KernelChoiceTests {
    @Test("The choice is a function of processor, library and variable", arguments: choices)
    func table(_ choice: Choice) {
        let (core, reason) = choice.decide()
        #expect(core == choice.wanted)
        #expect(reason == choice.reason)
    }

    @Test("The choice never asks for kernels that the processor cannot run")
    func neverTooHigh() {
        for features in 0..<UInt32(512) {
            for index in Int32(0)..<100 {
                guard let chosen = az_known_core(index) else { break }
                for version in ["0.2.0", "0.3.21", "unknown"] {
                    let decision = az_decide_kernels(features, chosen, version, nil)
                    if let core = decision.core {
                        #expect(az_can_run(features, core) != 0, "\(String(cString: core)) with \(features)")
                    } else if features & 1 != 0 && decision.reason == AZ_KERNELS_FIT {
                        #expect(az_can_run(features, chosen) != 0)
                    }
                }
            }
        }
    }

    @Test("The choice knows every name that OpenBLAS has had for x86-64")
    func names() {
        let names = (0..<100).compactMap { az_known_core($0).map { String(cString: $0) } }
        #expect(Set(names).count == 26 && names.count == 26)
        for name in names {
            #expect(az_kernel_class(name) >= 0)
            #expect(az_kernel_class(name.uppercased()) == az_kernel_class(name))
        }
        #expect(az_kernel_class("DiamondRapids") == -1)
        #expect((1...4).allSatisfy { az_class_speed($0) >= az_class_speed($0 - 1) })
    }

    /// leaf 1 ecx: sse4.2 20, fma 12, osxsave 27, avx 28; leaf 7 ebx: avx2 5, f 16, dq 17, bw 30, vl 31.
    @Test("Instructions count only where the system saves their registers")
    func features() {
        let ecx: UInt32 = 1 << 20 | 1 << 12 | 1 << 27 | 1 << 28
        let ebx: UInt32 = 1 << 5 | 1 << 16 | 1 << 17 | 1 << 30 | 1 << 31
        func features(
            _ ebx: UInt32, _ xcr0: UInt64, ecx: UInt32 = ecx, bf16: UInt32 = 0, amd: UInt32 = 0, old: UInt32 = 0
        ) -> UInt32 {
            az_features(
                az_cpuid(
                    leaf1_ecx: ecx, leaf7_ebx: ebx, leaf7_1_eax: bf16, extended1_ecx: amd, extended1_edx: old,
                    xcr0: xcr0))
        }
        #expect(features(ebx, 0xe7) == Features.avx512)
        #expect(features(ebx, 0xe7, bf16: 1 << 5) == Features.bfloat16)
        #expect(features(ebx, 0x07, bf16: 1 << 5) == Features.avx2, "no masks, no zmm")
        #expect(features(ebx, 0x67) == Features.avx2, "no upper sixteen registers")
        #expect(features(ebx, 0x03) == Features.sse42, "no ymm")
        #expect(features(ebx, 0) == Features.sse42, "no xsave")
        #expect(features(ebx & ~(1 << 30), 0xe7) == Features.avx2, "Knights Landing has no BW")
        #expect(features(1 << 5, 0x07, amd: 1 << 16) == Features.excavator)
        #expect(features(0, 0x07, ecx: ecx & ~(1 << 12)) == Features.avx)
        #expect(features(0, 0, ecx: 0) == Features.x86)
        #expect(features(0, 0, ecx: 0, old: 1 << 31) == Features.x86 | Features.bits(AZ_3DNOW))
    }
}
