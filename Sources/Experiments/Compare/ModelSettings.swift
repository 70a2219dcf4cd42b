import ModelZoo

/// Keys of the models' configurations to which `--set` gives other values; each model takes those that it has.
package struct ModelSettings: Sendable, Hashable {
    private let values: [String: JSONValue]

    /// The architectures' own configurations.
    init() { values = [:] }

    /// - Parameter texts: `KEY=VALUE`, the value as JSON or else as a word; the last of a key counts.
    /// - Throws: `InputError` where one is not of this form.
    init(_ texts: [String]) throws {
        let settings = try texts.map { text in
            guard let setting = ConfigurationSetting(text) else {
                throw InputError("--set: expected KEY=VALUE, found \(JSONValue.quoted(text))")
            }
            return (setting.key, setting.value)
        }
        values = Dictionary(settings) { $1 }
    }

    var isEmpty: Bool { values.isEmpty }

    /// Returns a configuration with the values of the keys that it has.
    func applied(to configuration: JSONValue) -> JSONValue {
        guard !isEmpty, let members = configuration.objectValue else { return configuration }
        return .object(members.merging(values.filter { members[$0.key] != nil }) { $1 })
    }

    /// The architecture with these values in its configurations.
    /// - Throws: `InputError` for an architecture that does not exist.
    func architecture(_ id: String) throws -> any Architecture {
        let architecture = try Zoo.architecture(id)
        return isEmpty ? architecture : settingValues(of: architecture)
    }

    private func settingValues(of base: some Architecture) -> any Architecture {
        SetArchitecture(base: base, settings: self)
    }

    /// - Parameter models: the ids of the chosen architectures.
    /// - Throws: `InputError` that names the key which none of them has or which their size decides, or the wrong value.
    func check(_ models: [String]) throws {
        guard !isEmpty else { return }
        let sizes = [ModelSize.small, .large]
        let configurations = try models.map { id in
            let architecture = try Zoo.architecture(id)
            return try sizes.map { try architecture.configuration($0).json.objectValue ?? [:] }
        }
        for key in values.keys.sorted() {
            guard configurations.contains(where: { $0[0][key] != nil }) else {
                let known = Set(configurations.flatMap { $0[0].keys }).sorted()
                let hint = nearest(key, in: known).map { "; did you mean \"\($0)\"?" } ?? ""
                throw InputError("--set \(key): expected a key of a chosen model's configuration\(hint)")
            }
            guard configurations.allSatisfy({ $0[0][key] == $0[1][key] }) else {
                throw InputError("--set \(key): follows from the size of the models; expected another key")
            }
        }
        for id in models { _ = try architecture(id).makeModel(ModelSize.small, key: RandomKey(seed: 0)) }
    }
}

extension ModelSettings: Codable {
    /// Reads an object of keys and their values' JSON.
    package init(from decoder: any Decoder) throws {
        let texts = try decoder.singleValueContainer().decode([String: String].self)
        values = texts.reduce(into: [:]) { $0[$1.key] = ConfigurationSetting("\($1.key)=\($1.value)")?.value }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(values.mapValues(\.description))
    }
}

extension ModelSettings: CustomStringConvertible {
    /// For people: gamma_std=1, group_size=64.
    package var description: String {
        values.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ", ")
    }
}

extension ModelSize {
    // Two that share nothing but what no comparison chooses: values that differ follow from the size.
    fileprivate static let small = ModelSize(
        vocabulary: 64, width: 32, depth: 2, heads: 2, sequenceLength: 128, window: 32)
    fileprivate static let large = ModelSize(
        vocabulary: 96, width: 64, depth: 2, heads: 2, sequenceLength: 256, window: 32)
}

/// An architecture some keys of whose configurations are set.
private struct SetArchitecture<Base: Architecture>: Architecture {
    let base: Base
    let settings: ModelSettings

    var id: String { base.id }
    var presetNames: [String] { base.presetNames }

    func preset(_ name: String, objective: ObjectiveKind?) throws -> Preset<Base.Configuration> {
        try base.preset(name, objective: objective)
    }

    func configuration(_ size: ModelSize) throws -> Base.Configuration {
        let json = settings.applied(to: try base.configuration(size).json)
        return try Base.Configuration(json, file: "\(id) of width \(size.width)")
    }

    func makeModel(_ configuration: Base.Configuration, key: RandomKey) throws -> any LanguageModel {
        try base.makeModel(configuration, key: key)
    }
}
