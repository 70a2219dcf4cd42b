import Foundation
import ModelZoo

/// The save of a cell's training: one safetensors file with the parameters, the optimizer's state and the progress, so that
/// the training resumes as if it had not been interrupted.
struct PublishedRecallSave {
    let path: String
    /// The settings that a training must have in common with the one that was saved.
    let setting: Setting

    struct Setting: Codable, Equatable {
        var version = packageVersion
        var cell: PublishedRecallCell
        var options: PublishedRecallOptions
        var seed: UInt64
        var configuration: String
    }

    private static let (settingKey, progressKey, prefix) = ("setting", "progress", "parameter/")

    var exists: Bool { FileManager.default.fileExists(atPath: path) }

    /// Writes the file in one piece.
    func write<Model>(
        _ model: PublishedRecallModel<Model>, _ optimizer: Optimizer, _ progress: PublishedRecallProgress
    ) throws {
        try FileManager.default.createDirectory(
            atPath: AtomicFile.folder(of: path), withIntermediateDirectories: true)
        var writer = SafetensorsWriter(metadata: [
            Self.settingKey: try JSONValue.text(encoding: setting),
            Self.progressKey: try JSONValue.text(encoding: progress),
        ])
        try optimizer.add(to: &writer)
        for (key, parameter) in model.trained { try writer.add(Self.prefix + key, parameter.value) }
        try writer.write(to: path)
    }

    /// Reads the file into a model and an optimizer, where there is one.
    /// - Returns: the progress; that of the beginning where there is no file.
    /// - Throws: `InputError` where the file is no save of this setting.
    func read<Model>(
        into model: PublishedRecallModel<Model>, _ optimizer: Optimizer
    ) throws -> PublishedRecallProgress {
        guard exists else { return PublishedRecallProgress() }
        let file = try SafetensorsFile(path: path)
        try requireSame(file)
        for (key, parameter) in model.trained {
            let tensor = try file.tensor(Self.prefix + key)
            guard tensor.shape == parameter.shape else {
                throw InputError("\(path): \(key): expected shape \(parameter.shape), found \(tensor.shape)")
            }
            parameter.assign(tensor)
        }
        model.tie()
        try optimizer.load(file, besides: model.trained.count)
        return try decoded(file, Self.progressKey)
    }

    /// - Throws: `InputError` where there is a save of another setting.
    func requireSame() throws {
        if exists { try requireSame(try SafetensorsFile(path: path)) }
    }

    private func requireSame(_ file: SafetensorsFile) throws {
        let saved: Setting = try decoded(file, Self.settingKey)
        func refuse(_ what: String) -> InputError {
            InputError("\(path): was begun with \(what); expected the same, or another folder (--out)")
        }
        if saved.seed != setting.seed { throw refuse("--seed \(saved.seed), found --seed \(setting.seed)") }
        if saved.options.epochs != setting.options.epochs {
            throw refuse("--epochs \(saved.options.epochs), found --epochs \(setting.options.epochs)")
        }
        if saved.options.examples != setting.options.examples {
            throw refuse("--examples \(saved.options.examples), found --examples \(setting.options.examples)")
        }
        if saved != setting { throw refuse("another version or configuration of the model") }
    }

    private func decoded<Value: Decodable>(_ file: SafetensorsFile, _ key: String) throws -> Value {
        guard let text = file.metadata[key], let value = try? JSONDecoder().decode(Value.self, from: Data(text.utf8))
        else { throw InputError("\(path): metadata \"\(key)\": expected the state of a training") }
        return value
    }

    func remove() { try? FileManager.default.removeItem(atPath: path) }
}
