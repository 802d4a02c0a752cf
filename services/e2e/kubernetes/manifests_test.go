// Package kubernetes_test holds deployments/kubernetes against Kubernetes' own types,
// without a cluster. It is a module of its own: nothing else needs these types.
package kubernetes_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const root = "../../../"

// services are those of the platform.
var services = []string{"ingest", "silver-cleaner", "gold-aggregator", "query"}

// build returns what an overlay makes, each object decoded strictly: a field that
// Kubernetes does not know is an error.
func build(t *testing.T, overlay string) []runtime.Object {
	t.Helper()
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).
		Run(filesys.MakeFsOnDisk(), root+"deployments/kubernetes/"+overlay)
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, autoscalingv2.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme,
		networkingv1.AddToScheme, policyv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	var all []runtime.Object
	for _, one := range made.Resources() {
		text, err := one.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		object, _, err := decoder.Decode(text, nil, nil)
		if err != nil {
			t.Fatalf("%s: %v\n%s", overlay, err, text)
		}
		all = append(all, object)
	}
	return all
}

// of returns the objects of one kind by name.
func of[T interface {
	runtime.Object
	metav1.Object
}](all []runtime.Object) map[string]T {
	found := make(map[string]T)
	for _, one := range all {
		if object, ok := one.(T); ok {
			found[object.GetName()] = object
		}
	}
	return found
}

// pods returns the templates of all pods, by the name of what makes them.
func pods(all []runtime.Object) map[string]*corev1.PodTemplateSpec {
	found := make(map[string]*corev1.PodTemplateSpec)
	for name, one := range of[*appsv1.Deployment](all) {
		found[name] = &one.Spec.Template
	}
	for name, one := range of[*appsv1.StatefulSet](all) {
		found[name] = &one.Spec.Template
	}
	for name, one := range of[*batchv1.Job](all) {
		found[name] = &one.Spec.Template
	}
	return found
}

// selects returns the names of the pods that a selector takes.
func selects(t *testing.T, selector *metav1.LabelSelector, all []runtime.Object) (names []string) {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	for name, pod := range pods(all) {
		if s.Matches(labels.Set(pod.Labels)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

var overlays = []string{"evaluation", "production"}

// TestPodsAreConfined holds every container of ours to what a cluster that restricts its
// pods asks for, and to bounds.
func TestPodsAreConfined(t *testing.T) {
	t.Parallel()
	for _, overlay := range overlays {
		found := pods(build(t, overlay))
		for _, name := range append(slices.Clone(services), "energy-migrate") {
			pod, ok := found[name]
			if !ok {
				t.Errorf("%s has no %s", overlay, name)
				continue
			}
			c, p := &pod.Spec.Containers[0], pod.Spec.SecurityContext
			s, bounds := c.SecurityContext, &c.Resources
			if p == nil || !*p.RunAsNonRoot || *p.RunAsUser != 65532 ||
				p.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Errorf("%s of %s runs as %+v", name, overlay, p)
			}
			if s == nil || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem ||
				!slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
				t.Errorf("%s of %s may do %+v", name, overlay, s)
			}
			if *pod.Spec.AutomountServiceAccountToken {
				t.Errorf("%s of %s gets a token of Kubernetes", name, overlay)
			}
			if bounds.Requests.Cpu().IsZero() || bounds.Requests.Memory().IsZero() || bounds.Limits.Memory().IsZero() {
				t.Errorf("%s of %s has no bounds: %+v", name, overlay, bounds)
			}
		}
	}
}

// TestServicesAreReachedAndKept finds for each service its probes, its address, its
// budget of disruptions, and the policy that lets scrapers in.
func TestServicesAreReachedAndKept(t *testing.T) {
	t.Parallel()
	for _, overlay := range overlays {
		all := build(t, overlay)
		deployments, budgets := of[*appsv1.Deployment](all), of[*policyv1.PodDisruptionBudget](all)
		addresses, policies := of[*corev1.Service](all), of[*networkingv1.NetworkPolicy](all)
		for _, name := range services {
			d := deployments[name]
			c := &d.Spec.Template.Spec.Containers[0]
			if got := selects(t, d.Spec.Selector, all); !slices.Equal(got, []string{name}) {
				t.Errorf("the deployment %s takes %q", name, got)
			}
			if alive, ready := c.LivenessProbe, c.ReadinessProbe; alive == nil || alive.TCPSocket == nil ||
				ready == nil || ready.GRPC == nil {
				t.Errorf("%s has probes %+v and %+v", name, alive, ready)
			}
			if b, ok := budgets[name]; !ok || !slices.Equal(selects(t, b.Spec.Selector, all), []string{name}) {
				t.Errorf("%s has the budget of disruptions %+v", name, b)
			}
			a := addresses[name]
			if got := selects(t, &metav1.LabelSelector{MatchLabels: a.Spec.Selector}, all); !slices.Equal(got, []string{name}) {
				t.Errorf("the address %s leads to %q", name, got)
			}
			for _, port := range a.Spec.Ports {
				if !slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == port.TargetPort.StrVal }) {
					t.Errorf("%s has no port %s", name, port.TargetPort.StrVal)
				}
			}
			if !slices.Contains(selects(t, &policies["energy-metrics"].Spec.PodSelector, all), name) {
				t.Errorf("nobody may scrape %s", name)
			}
		}
		want := slices.Sorted(slices.Values(append(slices.Clone(services), "energy-migrate")))
		if got := selects(t, &policies["energy-nothing"].Spec.PodSelector, all); !slices.Equal(got, want) {
			t.Errorf("%s is closed for %q", overlay, got)
		}
		if got := selects(t, &policies["energy-answers"].Spec.PodSelector, all); !slices.Equal(got, []string{"query"}) {
			t.Errorf("%s answers from %q", overlay, got)
		}
	}
}

// TestScaling finds what grows, by a metric that there is, and nothing that says
// otherwise how many there are.
func TestScaling(t *testing.T) {
	t.Parallel()
	all := build(t, "production")
	scalers, deployments := of[*autoscalingv2.HorizontalPodAutoscaler](all), of[*appsv1.Deployment](all)
	table, err := os.ReadFile(root + "docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"silver-cleaner", "gold-aggregator"} {
		h, ok := scalers[name]
		if !ok || h.Spec.ScaleTargetRef.Name != name || h.Spec.MaxReplicas > 16 {
			t.Fatalf("%s is scaled by %+v", name, h)
		}
		if m := h.Spec.Metrics[0].External.Metric.Name; !strings.Contains(string(table), "| `"+m+"` |") {
			t.Errorf("%s is scaled by %s, which docs/metrics.md does not have", name, m)
		}
		if deployments[name].Spec.Replicas != nil {
			t.Errorf("%s is also told to be %d", name, *deployments[name].Spec.Replicas)
		}
	}
	for _, name := range []string{"ingest", "query"} {
		if n := deployments[name].Spec.Replicas; n == nil || *n < 2 {
			t.Errorf("nothing stands by for %s", name)
		}
	}
}

// TestSettingsAreKnown holds the variables and images against docs/settings.md: what it
// does not have no service reads.
func TestSettingsAreKnown(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(root + "docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]bool)
	for _, found := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|").FindAllStringSubmatch(string(page), -1) {
		known[found[1]] = true
	}
	for _, overlay := range overlays {
		all := build(t, overlay)
		for name, one := range of[*corev1.ConfigMap](all) {
			if !strings.HasPrefix(name, "energy-settings") {
				continue
			}
			for variable := range maps.Keys(one.Data) {
				if !known[variable] {
					t.Errorf("%s sets %s, which no service reads", overlay, variable)
				}
			}
		}
		for name, one := range of[*corev1.Secret](all) {
			if !strings.HasPrefix(name, "energy-servers") {
				continue
			}
			for variable := range maps.Keys(one.Data) {
				if !known[variable] {
					t.Errorf("%s keeps %s, which no service reads", overlay, variable)
				}
			}
		}
		for name, pod := range pods(all) {
			if image := pod.Spec.Containers[0].Image; !strings.Contains(string(page), "`"+image+"`") {
				t.Errorf("%s of %s is of the image %s, which docker-compose.yml does not have", name, overlay, image)
			}
		}
	}
}
