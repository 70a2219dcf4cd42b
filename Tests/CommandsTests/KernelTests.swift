import COpenBLAS
import Foundation
import Tensors
import Testing

/// Kernels that this processor can run, as far as is known of them.
private let runnable = known.filter { az_can_run(az_processor_features(), $0) != 0 }
private let unrunnable = known.filter { az_can_run(az_processor_features(), $0) == 0 }
private let known = (0..<100).compactMap { az_known_core($0).map { String(cString: $0) } }

@Suite("Kernels, each in a process of its own") struct KernelTests {
    private struct Machine: Decodable {
        let kernels: String, kernelsChosen: String, reason: String, instructions: String
        let kernelsBelowProcessor: Bool, checkPassed: Bool
        let checkSeconds: Double
        let warnings: [String]
        let threads: Int, processors: Int, openblasThreads: Int
    }

    private let workspace = try! Workspace()

    private func machine(_ variable: String?) throws -> Machine {
        let process = workspace.process(
            "Bench", ["machine", "--quick", "--json"], environment: ["OPENBLAS_CORETYPE": variable])
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationReason == .exit && process.terminationStatus == 0)
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Machine.self, from: data)
    }

    @Test("Kernels multiply rightly under every name that the library and the processor allow", arguments: runnable)
    func everyCore(_ core: String) throws {
        let machine = try machine(core)
        #expect(machine.checkPassed, "\(machine.warnings)")
        // A library without these kernels chooses by itself, and is then asked for what suits the processor.
        let isObeyed = machine.reason == "variable"
        #expect(isObeyed || !machine.kernelsBelowProcessor)
        if isObeyed { #expect(az_kernel_class(machine.kernels) >= az_kernel_class(core)) }
    }

    @Test("Kernels suit the processor if no name is given")
    func chosen() throws {
        let machine = try machine(nil)
        #expect(machine.checkPassed && machine.checkSeconds < 60)
        #expect(machine.kernelsBelowProcessor == !machine.warnings.isEmpty)
        #expect(machine.threads >= 1 && machine.threads <= machine.processors && machine.openblasThreads >= 1)
        #expect(machine.reason != "variable")
    }

    @Test("Kernels that the processor cannot run are replaced", arguments: unrunnable)
    func tooHigh(_ core: String) throws {
        let machine = try machine(core)
        // By the shim, or by the library itself: it takes Prescott's for names of 32-bit processors, such as Athlon.
        #expect(machine.checkPassed && machine.kernels != core)
        #expect(az_can_run(az_processor_features(), machine.kernels) != 0)
    }

    @Test("A name that does not exist changes nothing")
    func unknownName() throws {
        let (wrong, none) = (try machine("Haswel"), try machine(nil))
        #expect(wrong.checkPassed && az_kernel_class(wrong.kernels) == az_kernel_class(none.kernels))
    }

    @Test("A run's config.json names the kernels")
    func configuration() throws {
        let outcome = try workspace.run("Train", workspace.tinyArguments(steps: 1))
        #expect(outcome.code == 0, "\(outcome.error)")
        let data = try Data(contentsOf: URL(fileURLWithPath: workspace.folder + "/run/config.json"))
        let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(object["kernels"] as? String == BLAS.kernels)
    }
}
