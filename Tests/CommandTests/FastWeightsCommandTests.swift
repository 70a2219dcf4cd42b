import Foundation
import ModelZoo
import Testing

/// What a memory that goes on means for the commands.
@Suite struct FastWeightsCommandTests {
    let workspace = try! Workspace()

    private func training(_ order: String) throws -> TrainCommand {
        var command = try workspace.tinyTraining("run", steps: 3)
        (command.model, command.order) = ("fast-weights", order)
        command.config = try workspace.write(
            "{\"n_vocab\": 256, \"d_model\": 8, \"heads\": 2, \"d_ff\": 8, \"n_layers\": 1}", "fast-weights.json")
        return command
    }

    private func evaluate(_ carries: Bool? = nil) throws -> [String: JSONValue] {
        var printed = ""
        let source = ModelSource(run: workspace.path("run"))
        try EvaluateCommand(source: source, data: [workspace.text()], carries: carries, json: true)
            .run(print: { printed = $0 })
        return try JSONValue(parsing: Data(printed.utf8), file: "printed").objectValue ?? [:]
    }

    /// A run is measured as it was trained, unless one says otherwise.
    @Test(arguments: ["random", "sequential"]) func isEvaluatedAsItWasTrained(_ order: String) throws {
        try training(order).lines()
        let (usual, carried, fresh) = (try evaluate(), try evaluate(true), try evaluate(false))
        #expect(usual == (order == "sequential" ? carried : fresh))
        #expect(carried["carry"] == .bool(true) && fresh["carry"] == .bool(false))
        #expect(carried["bits_per_byte"] != fresh["bits_per_byte"] && carried["tokens"] == fresh["tokens"])
    }

    @Test(arguments: ["flash", "softmax"]) func onlyWhatCarriesCanCarry(_ model: String) throws {
        var command = try training("random")
        if model == "flash" {
            (command.model, command.config) = (model, nil)
        } else {
            command.config = try workspace.write(
                "{\"n_vocab\": 256, \"d_model\": 8, \"heads\": 2, \"feature_map\": \"softmax\"}", "softmax.json")
        }
        try command.lines()
        expectError("--carry: the model carries nothing from window to window") { try evaluate(true) }
        #expect(try evaluate() == evaluate(false))
    }

    /// Of weights from elsewhere nothing is known: windows begin with nothing.
    @Test func weightsAreEvaluatedInWindows() throws {
        try training("random").lines()
        let source = ModelSource(
            model: "fast-weights", config: workspace.path("fast-weights.json"),
            weights: workspace.path("run") + "/weights.safetensors")
        var printed = ""
        try EvaluateCommand(source: source, data: [workspace.text()], json: true).run(print: { printed = $0 })
        #expect(printed.contains("\"carry\": false"))
    }

    /// A run on streams that is stopped and goes on is the run that was not: what the memory holds is saved with it.
    @Test func streamsGoOnWhereTheyStopped() throws {
        var command = try training("sequential")
        (command.steps, command.out) = (4, workspace.path("whole"))
        try command.lines()
        (command.steps, command.out) = (2, workspace.path("run"))
        try command.lines()
        var resumed = TrainCommand()
        (resumed.resume, resumed.steps) = (workspace.path("run"), 4)
        try resumed.lines()
        let weights = try ["whole", "run"].map {
            try Data(contentsOf: URL(fileURLWithPath: workspace.path($0) + "/weights.safetensors"))
        }
        #expect(weights[0] == weights[1])
    }
}
