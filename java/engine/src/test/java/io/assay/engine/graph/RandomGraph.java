package io.assay.engine.graph;

import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Predicate;
import java.util.stream.IntStream;
import java.util.stream.LongStream;

/**
 * A small graph under construction, made by steps of some nodes each. Every node is evaluated at
 * the drawn inputs when it is added; a step that leads near a kink, out of a domain or to large
 * numbers is taken back.
 */
final class RandomGraph {
  private static final String CONTRIB = "com.microsoft";

  /** Largest magnitude and size of a value. */
  private static final double MAGNITUDE = 40;

  private static final int ELEMENTS = 72;

  /** A step of the construction. */
  interface Step {
    void add(RandomGraph g);
  }

  /** A step that does not fit here. */
  static final class Unfit extends RuntimeException {
    private static final long serialVersionUID = 1;

    Unfit() {
      super(null, null, false, false);
    }
  }

  /** A graph and a point. */
  record Sample(Graph graph, Map<String, Tensor> inputs) {}

  /** What has been made so far; {@code values} has the inputs, the constants and all results. */
  private record Parts(
      Map<String, TensorType> inputs,
      Map<String, Tensor> constants,
      List<Node> nodes,
      Map<String, Array64> values) {
    Parts copy() {
      return new Parts(
          new LinkedHashMap<>(inputs),
          new LinkedHashMap<>(constants),
          new ArrayList<>(nodes),
          new LinkedHashMap<>(values));
    }
  }

  private static final List<Step> STEPS = new ArrayList<>();

  static {
    RandomElementwise.register(STEPS);
    RandomLayout.register(STEPS);
    RandomIndexing.register(STEPS);
    RandomReductions.register(STEPS);
    RandomProducts.register(STEPS);
    RandomRecurrent.register(STEPS);
    RandomControl.register(STEPS);
  }

  final Choices choices;
  final long opset;
  private final long salt;
  private final int rows;
  private final boolean symbolic;
  private int inner;
  private Parts parts =
      new Parts(
          new LinkedHashMap<>(), new LinkedHashMap<>(), new ArrayList<>(), new LinkedHashMap<>());

  private RandomGraph(Choices choices) {
    this.choices = choices;
    choices.open(0);
    opset = choices.in(18, 20, 21, 22, 23, 17, 16);
    salt = choices.below(1 << 20);
    rows = 2 + choices.below(2);
    symbolic = choices.below(3) > 0;
  }

  /** The graph of these choices. */
  static Sample draw(String name, Choices choices) {
    RandomGraph g = new RandomGraph(choices);
    for (int i = 1; i < choices.blocks().size(); i++) {
      choices.open(i);
      g.step(STEPS.get(choices.below(STEPS.size())));
    }
    return g.sample(name);
  }

  private void step(Step step) {
    Parts before = parts.copy();
    try {
      step.add(this);
    } catch (Unfit e) {
      parts = before;
    }
  }

  private Sample sample(String name) {
    if (parts.nodes.isEmpty()) {
      op("Neg", leaf(2));
    }
    Graph.Builder b = Graph.builder(name).opset("", opset);
    if (parts.nodes.stream().anyMatch(n -> n.domain().equals(CONTRIB))) {
      b.opset(CONTRIB, 1);
    }
    Map<String, Tensor> point = new LinkedHashMap<>();
    parts.inputs.forEach(
        (v, type) -> {
          b.input(v, type);
          point.put(v, parts.values.get(v).tensor());
        });
    parts.constants.forEach(b::constant);
    parts.nodes.forEach(b::node);
    List<String> read = parts.nodes.stream().flatMap(n -> Graph.reads(n).stream()).toList();
    parts.nodes.stream()
        .flatMap(n -> n.outputs().stream())
        .filter(v -> !v.isEmpty() && !read.contains(v))
        .forEach(b::output);
    return new Sample(b.build(), point);
  }

  // What a step sees.

  int below(int n) {
    return choices.below(n);
  }

  int[] shape(String value) {
    return parts.values.get(value).shape();
  }

  int rank(String value) {
    return shape(value).length;
  }

  Array64 value(String value) {
    return parts.values.get(value);
  }

  /** Whether a value comes from a Transpose that leaves the order of the axes as it is. */
  boolean isUnturned(String value) {
    return parts.nodes.stream()
        .filter(n -> n.outputs().contains(value) && n.op().equals("Transpose"))
        .anyMatch(n -> n.has("perm") && Arrays.equals(n.integers("perm"), new long[] {0, 1}));
  }

  /** A drawn size, mostly 2 or 3. */
  int size() {
    return choices.of(2, 3, 1, 4, 3);
  }

  /** A drawn shape of these ranks. */
  int[] drawnShape(int least, int most) {
    int rank = least + below(most - least + 1);
    int[] shape = IntStream.range(0, rank).map(_ -> size()).toArray();
    if (rank > 0 && choices.oneIn(2)) {
      shape[0] = rows;
    }
    return shape;
  }

  /** An axis of a value of this rank, from either end. */
  long axis(int rank) {
    return (long) below(rank) - (choices.oneIn(3) ? rank : 0);
  }

  int wrapped(long axis, int rank) {
    return (int) (axis < 0 ? axis + rank : axis);
  }

  /** Some of the axes, at least one. */
  long[] axes(int rank) {
    long first = axis(rank);
    return LongStream.concat(
            LongStream.of(first),
            LongStream.range(0, rank).filter(i -> i != wrapped(first, rank) && choices.oneIn(3)))
        .toArray();
  }

  /** A float value: one that there is, the latest first, or a leaf. */
  String any() {
    return any(_ -> true, 0, 4);
  }

  String any(int least, int most) {
    return any(s -> s.length >= least && s.length <= most, least, most);
  }

  private String any(Predicate<int[]> fits, int least, int most) {
    String found = existing(fits);
    return found != null ? found : leaf(drawnShape(least, most));
  }

  /** A float value that fits, or a leaf of the shape given. */
  String any(Predicate<int[]> fits, int... otherwise) {
    String found = existing(fits);
    return found != null ? found : leaf(otherwise);
  }

  String like(int... shape) {
    return any(s -> Arrays.equals(s, shape), shape);
  }

  private String existing(Predicate<int[]> fits) {
    List<String> found =
        parts.values.entrySet().stream()
            .filter(e -> e.getValue().dtype() == DType.F32 && fits.test(e.getValue().shape()))
            .map(Map.Entry::getKey)
            .toList()
            .reversed();
    int pick = below(Math.min(found.size(), 5) + 1);
    return pick < found.size() && pick < 5 ? found.get(pick) : null;
  }

  /** A new float input, or sometimes a constant, with elements from -2 to 2. */
  String leaf(int... shape) {
    return leaf(-2, 2, shape);
  }

  String leaf(double least, double most, int... shape) {
    boolean constant = choices.oneIn(4);
    int number = parts.inputs.size() + parts.constants.size();
    Random random = new Random(salt * 1000 + number);
    // Multiples of 1/1024: exact in float32, and short to print.
    Array64 drawn =
        Array64.build(
            DType.F32,
            shape,
            _ -> Math.rint((least + (most - least) * random.nextDouble()) * 1024) / 1024);
    require(Array64.size(shape) <= ELEMENTS);
    if (constant) {
      return constant(drawn.tensor());
    }
    String name = "x" + number;
    List<Dim> dims = new ArrayList<>();
    for (int size : shape) {
      dims.add(symbolic && size == rows ? Dim.symbol("n") : Dim.of(size));
    }
    parts.inputs.put(name, new TensorType(DType.F32, dims));
    parts.values.put(name, drawn);
    return name;
  }

  String constant(Tensor t) {
    String name = "c" + (parts.inputs.size() + parts.constants.size());
    parts.constants.put(name, t);
    parts.values.put(name, Array64.of(t));
    return name;
  }

  String longs(long... values) {
    return constant(Tensor.ofLongs(values, values.length));
  }

  String longs(long[] values, int... shape) {
    return constant(Tensor.ofLongs(values, Arrays.stream(shape).asLongStream().toArray()));
  }

  String number(double value) {
    return constant(Tensor.scalar(DType.F32, value));
  }

  /** A name for a value of a body. */
  String inner() {
    return "b" + inner++;
  }

  static Map<String, Object> attributes(Object... pairs) {
    Map<String, Object> attributes = new LinkedHashMap<>();
    for (int i = 0; i < pairs.length; i += 2) {
      Object value = pairs[i + 1];
      attributes.put(
          (String) pairs[i],
          switch (value) {
            case Integer n -> (Object) n.longValue();
            case Double x -> x.floatValue();
            case long[] list -> Arrays.stream(list).boxed().toList();
            default -> value;
          });
    }
    return attributes;
  }

  void require(boolean fits) {
    if (!fits) {
      throw new Unfit();
    }
  }

  void since(long version) {
    require(opset >= version);
  }

  String op(String op, String... inputs) {
    return op(op, Map.of(), inputs);
  }

  String op(String op, Map<String, Object> attributes, String... inputs) {
    return ops(1, op, attributes, inputs).getFirst();
  }

  /** A node; of an operator of the runtime's own domain if the name begins with "com.microsoft". */
  List<String> ops(int outputs, String op, Map<String, Object> attributes, String... inputs) {
    String domain = op.startsWith(CONTRIB + ".") ? CONTRIB : "";
    int number = parts.nodes.stream().mapToInt(n -> n.outputs().size()).sum();
    List<String> names = IntStream.range(0, outputs).mapToObj(i -> "v" + (number + i)).toList();
    String plain = domain.isEmpty() ? op : op.substring(CONTRIB.length() + 1);
    Node node = new Node(names.getFirst(), domain, plain, List.of(inputs), names, attributes);
    require(!Kinks.isNear(node, Arrays.stream(inputs).map(parts.values::get).toList()));
    Reference.run(List.of(node), parts.values);
    for (String name : names) {
      Array64 y = parts.values.get(name);
      require(y.data().length > 0 && y.data().length <= ELEMENTS);
      require(Arrays.stream(y.data()).allMatch(v -> Math.abs(v) <= MAGNITUDE));
    }
    parts.nodes.add(node);
    return names;
  }
}
