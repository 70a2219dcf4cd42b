import COpenBLAS
import Foundation
import Testing

/// A library as tests want it: which kernels it has, and which of them are wrong.
private nonisolated(unsafe) var present = ""
private nonisolated(unsafe) var available: Set<String> = []
private nonisolated(unsafe) var broken: Set<String> = []
private nonisolated(unsafe) var damage: (_ m: Int, _ n: Int, _ k: Int) -> Bool = { _, _, _ in false }
private nonisolated(unsafe) let name = UnsafeMutablePointer<CChar>.allocate(capacity: 32)

private let fake = az_library(
    core: {
        strcpy(name, present)
        return UnsafePointer(name)
    },
    choose: { core in
        let wanted = String(cString: core!)
        if available.isEmpty { return 0 }
        if available.contains(wanted) { present = wanted }
        return 1
    },
    sgemm: { transposeA, transposeB, m, n, k, alpha, a, aRow, b, bRow, beta, c, cRow in
        az_plain_sgemm(transposeA, transposeB, m, n, k, alpha, a, aRow, b, bRow, beta, c, cRow)
        if broken.contains(present), damage(m, n, k) { c![(m - 1) * cRow + n - 1] += 1 }
    },
    sgemv: { transpose, rows, cols, alpha, a, aRow, x, step, beta, y in
        az_plain_sgemv(transpose, rows, cols, alpha, a, aRow, x, step, beta, y)
    })

private let avx512 =
    UInt32(AZ_X86_64) | UInt32(AZ_SSE42) | UInt32(AZ_AVX) | UInt32(AZ_FMA) | UInt32(AZ_AVX2) | UInt32(AZ_AVX512)
private let all: Set = ["Prescott", "Nehalem", "Sandybridge", "Haswell", "SkylakeX"]

private func settle(
    chosen: String, available: Set<String> = all, broken: Set<String> = [], features: UInt32 = avx512,
    dynamic: Int32 = 1, variable: String? = nil, damage: @escaping (Int, Int, Int) -> Bool = { _, _, _ in true }
) -> (report: az_kernel_report, used: String, lines: [String]) {
    (present, COpenBLASTests.available, COpenBLASTests.broken) = (chosen, available, broken)
    COpenBLASTests.damage = damage
    var report = az_kernel_report()
    withUnsafePointer(to: fake) {
        az_choose_kernels($0, features, "0.3.21", dynamic, variable, &report)
        az_settle_kernels($0, features, &report)
    }
    let used = withUnsafeBytes(of: report.used) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    let lines = withUnsafeBytes(of: report.lines) { bytes in
        (0..<Int(report.line_count)).map { line in
            String(decoding: bytes[(line * Int(AZ_REPORT_LENGTH))...].prefix { $0 != 0 }, as: UTF8.self)
        }
    }
    return (report, used, lines)
}

@Suite("Kernels prove themselves", .serialized) struct KernelCheckTests {
    private func check(_ sgemm: az_sgemm_function, _ sgemv: az_sgemv_function = az_plain_sgemv) -> String? {
        var failure = [CChar](repeating: 0, count: 256)
        let good = az_check_products(sgemm, sgemv, &failure, 256) != 0
        return good ? nil : failure.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    @Test("OpenBLAS's in use do, and so does plain C")
    func theRealOnes() {
        #expect(check(az_plain_sgemm) == nil)
        #expect(check(az_sgemm, az_sgemv) == nil)
        let report = az_openblas_report().pointee
        #expect(report.passed == 1 && report.plain == 0 && report.check_seconds > 0)
        #expect(String(cString: az_openblas_version()).first?.isNumber == true)
        #expect(az_openblas_most_threads() >= 1)
    }

    /// Each is a fault that a version of OpenBLAS has had, or could.
    @Test("A wrong product is found, whatever is wrong with it")
    func faults() {
        let mistakes: [(String, az_sgemm_function)] = [
            (
                "garbage where there is nothing to add up",
                { ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc in
                    if k == 0 {
                        c![0] = 0.266733
                    } else {
                        az_plain_sgemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
                    }
                }
            ),
            (
                "all zeros",
                { ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc in
                    az_plain_sgemm(ta, tb, m, n, 0, alpha, a, lda, b, ldb, beta, c, ldc)
                }
            ),
            (
                "NaN times beta 0",
                { ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc in
                    for i in 0..<m where beta == 0 { for j in 0..<n { c![i * ldc + j] *= 0 } }
                    az_plain_sgemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta == 0 ? 1 : beta, c, ldc)
                }
            ),
            (
                "beta forgotten",
                { ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc in
                    az_plain_sgemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta == 0 ? 0 : 1, c, ldc)
                }
            ),
            (
                "alpha forgotten",
                { ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc in
                    az_plain_sgemm(ta, tb, m, n, k, 1, a, lda, b, ldb, beta, c, ldc)
                }
            ),
            (
                "past the last column",
                { ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc in
                    az_plain_sgemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
                    if ldc > n && m > 1 { c![n] = 0 }
                }
            ),
            (
                "the last row of odd numbers",
                { ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc in
                    az_plain_sgemm(ta, tb, m - (m > 30 ? m & 1 : 0), n, k, alpha, a, lda, b, ldb, beta, c, ldc)
                }
            ),
            (
                "the last term of long sums",
                { ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc in
                    az_plain_sgemm(ta, tb, m, n, k - (k > 100 ? 1 : 0), alpha, a, lda, b, ldb, beta, c, ldc)
                }
            ),
            (
                "above a million multiply-adds",
                { ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc in
                    az_plain_sgemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
                    if m * n * k > 1_000_000 { c![(m / 2) * ldc + n / 2] += 1 }
                }
            ),
            (
                "half precision",
                { ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc in
                    let count = (ta != 0 ? k : m) * lda
                    let rounded = (0..<count).map { Float(bitPattern: a![$0].bitPattern & 0xffff_0000) }
                    az_plain_sgemm(ta, tb, m, n, k, alpha, rounded, lda, b, ldb, beta, c, ldc)
                }
            ),
        ]
        for (fault, sgemm) in mistakes { #expect(check(sgemm)?.contains("product") == true, "\(fault)") }
    }

    @Test("Several threads share nothing")
    func sharedBuffer() {
        // Products made in one buffer for all threads, as a library without locks would.
        let failure = check { ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc in
            let isLast = callers.enter()
            az_plain_sgemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
            if !isLast { c![0] += 1 }
            callers.leave()
        }
        #expect(failure?.contains("threads at once") == true)
    }

    @Test("A wrong matrix times vector is found")
    func vectors() {
        let failure = check(az_plain_sgemm) { transpose, rows, cols, alpha, a, lda, x, step, beta, y in
            az_plain_sgemv(transpose, rows, cols, alpha, a, lda, x, 1, beta, y)
        }
        #expect(failure?.contains("times a vector") == true)
    }

    @Test("Kernels that suit are kept without a word")
    func kept() {
        let (report, used, lines) = settle(chosen: "SkylakeX")
        #expect(used == "SkylakeX" && lines.isEmpty && report.passed == 1 && report.below == 0)
    }

    @Test("Kernels below the processor are chosen again without a word")
    func chosenAgain() {
        let (report, used, lines) = settle(chosen: "Prescott")
        #expect(used == "SkylakeX" && lines.isEmpty && report.reason == AZ_KERNELS_TOO_LOW && report.below == 0)
    }

    @Test("A variable is respected, and what it costs is known")
    func variable() {
        let (report, used, lines) = settle(chosen: "Prescott", variable: "Prescott")
        #expect(used == "Prescott" && lines.isEmpty && report.reason == AZ_KERNELS_BY_VARIABLE && report.below == 1)
    }

    @Test("A library that cannot choose again is named, with the variable to set and what it brings")
    func cannotChoose() {
        let (report, used, lines) = settle(chosen: "Prescott", available: [])
        #expect(used == "Prescott" && report.below == 1 && report.passed == 1)
        #expect(lines.count == 1 && lines[0].contains("OPENBLAS_CORETYPE=SkylakeX") && lines[0].contains("8 times"))
    }

    @Test("A library for one processor is named, with what to install")
    func oneProcessor() {
        let (report, _, lines) = settle(chosen: "HASWELL", dynamic: 0)
        #expect(report.below == 1 && lines.count == 1 && lines[0].contains("DYNAMIC_ARCH"))
    }

    @Test("A library without the kernels that were asked for says which it has")
    func withoutTheKernels() {
        let (report, used, lines) = settle(chosen: "Prescott", available: ["Prescott", "Haswell"])
        #expect(used == "Prescott" && report.below == 1 && lines.count == 1)
    }

    @Test("Wrong kernels give way to the class below, each step in a line")
    func stepsDown() {
        let (report, used, lines) = settle(chosen: "SkylakeX", broken: ["SkylakeX", "Haswell"]) { m, n, k in m == 31 }
        #expect(used == "Sandybridge" && report.passed == 1 && report.plain == 0 && report.below == 1)
        #expect(lines.count == 2 && lines[0].contains("SkylakeX") && lines[0].contains("31 x 33 x 29"))
        #expect(lines[1].contains("Haswell") && lines[1].contains("Sandybridge"))
    }

    @Test("A missing class is passed over")
    func passesOver() {
        let (_, used, lines) = settle(chosen: "SkylakeX", available: ["SkylakeX", "Nehalem"], broken: ["SkylakeX"])
        #expect(used == "Nehalem" && lines.count == 1)
    }

    @Test("Where all are wrong, plain C multiplies")
    func plainInTheEnd() {
        let (report, used, lines) = settle(chosen: "SkylakeX", broken: all)
        #expect(used == "plain C" && report.plain == 1 && report.passed == 0)
        #expect(lines.count == 5 && lines[4].contains("plain C"))
        let (fixed, _, line) = settle(chosen: "Haswell", available: [], broken: ["Haswell"])
        #expect(fixed.plain == 1 && line.count == 2)
    }

    @Test("Kernels that would end in an illegal instruction are never called")
    func tooHigh() {
        let (report, used, lines) = settle(
            chosen: "SkylakeX", available: [], broken: ["SkylakeX"], features: avx512 & ~UInt32(AZ_AVX512)
        ) { _, _, _ in fatalError("called") }
        #expect(used == "plain C" && report.plain == 1 && lines.count == 1)
    }
}

private let callers = CallersInside()

/// Threads inside a product at the same time.
private final class CallersInside: @unchecked Sendable {
    private let lock = NSLock()
    private var inside = 0

    /// Waits a little for company; returns whether there was none.
    func enter() -> Bool {
        lock.withLock { inside += 1 }
        usleep(100)
        return lock.withLock { inside == 1 }
    }

    func leave() { lock.withLock { inside -= 1 } }
}
