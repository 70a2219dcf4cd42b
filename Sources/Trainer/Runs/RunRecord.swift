import Foundation
import NN
import Tensors

/// The contents of a run's folder: all that a report of it shows.
public struct RunRecord: Sendable {
    /// A use of a run's record, such as writing a report; where it throws, the training warns that none was written.
    public typealias Use = (RunRecord) throws -> Void

    /// The name of the run in reports.
    public var name: String
    /// The folder, as commands take it.
    public let path: String
    /// The run's config.json.
    public let configuration: RunConfiguration
    /// The number of trainable floats, where it is known.
    public let parameters: Int?
    /// The metrics of every step so far.
    public internal(set) var metrics: [StepMetrics]
    /// The samples so far.
    public internal(set) var samples: [Sample]

    /// Creates a record of a run's contents.
    public init(
        name: String, path: String, configuration: RunConfiguration, parameters: Int?, metrics: [StepMetrics],
        samples: [Sample]
    ) {
        (self.name, self.path, self.configuration) = (name, path, configuration)
        (self.parameters, self.metrics, self.samples) = (parameters, metrics, samples)
    }

    /// Reads a run's folder.
    /// - Parameter warn: is called with a sentence about the lines of a log that are broken, which are left out; nil to throw.
    /// - Throws: `InputError` that names the file, and the line or key that is wrong.
    public init(_ folder: RunFolder, warn: ((String) -> Void)? = nil) throws {
        self.init(
            name: folder.name, path: folder.path, configuration: try folder.configuration(),
            parameters: folder.parameterCount, metrics: try MetricsLog.read(path: folder.metricsPath, warn: warn),
            samples: try SamplesLog.read(path: folder.samplesPath, warn: warn))
    }
}

extension RunFolder {
    /// The path of samples.jsonl.
    public var samplesPath: String { path + "/samples.jsonl" }
    /// The path of report.html.
    public var reportPath: String { path + "/report.html" }

    /// The folder's own name.
    var name: String { URL(fileURLWithPath: path).standardizedFileURL.lastPathComponent }

    /// As the weights' file says; nil where it does not or there is none.
    fileprivate var parameterCount: Int? {
        (try? SafetensorsFile(path: weightsPath))?.metadata["parameters"].flatMap(Int.init)
    }
}
